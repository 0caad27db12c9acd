"""The check that an encoder can be judged by every protocol."""
