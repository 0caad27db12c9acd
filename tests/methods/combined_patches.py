"""Fast-MoCo's combined patches, written plainly, and settings of networks small enough for tests."""

from itertools import combinations

import torch

SMALL = {"dim": 8, "hidden": 16, "predictor_hidden": 4, "momentum": 0.9}


def quarters(view):
    half = view.shape[-1] // 2
    return [view[:, :, i : i + half, j : j + half] for i in (0, half) for j in (0, half)]


def combined(encoder, view, k):
    """Computes the features of each combination, a list of (B, D)."""
    features = encoder(torch.cat(quarters(view))).split(len(view))
    return [sum(features[i] for i in chosen) / k for chosen in combinations(range(4), k)]
