"""The check that every method learns, on the same images in the same time."""
