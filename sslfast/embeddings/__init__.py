"""The features of images with their names and labels: in files, and searched."""
