"""The linear probe: how well one linear layer on frozen features tells the classes apart."""
