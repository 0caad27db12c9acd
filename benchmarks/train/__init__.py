"""Training steps, beside their bare networks and other packages."""
