"""Semantic segmentation: a fully convolutional network on the encoder, trained on masks."""
