"""Photographs read, decoded and cropped by NVIDIA DALI."""
