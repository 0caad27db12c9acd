"""The optimizers of training, and the schedules of their rates."""
