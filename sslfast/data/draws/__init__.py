"""What the augmentation of each sample is, drawn before it is done."""
