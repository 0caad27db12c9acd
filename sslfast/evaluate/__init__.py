"""How good the features of a frozen encoder are: kNN and the linear probe."""
