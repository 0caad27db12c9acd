"""The check that every method learns, on the same images with the same encoder."""
