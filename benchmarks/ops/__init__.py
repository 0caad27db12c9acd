"""The ops, beside eager and compiled PyTorch and other packages."""
