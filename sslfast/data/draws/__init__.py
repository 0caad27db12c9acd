"""The draws of augmentations: random numbers that are sampled before any image is touched."""
