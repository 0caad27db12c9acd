"""Noise-contrastive estimation as its paper writes it."""

import torch


def nce(query, positive, noise, temperature, z, images):
    """Computes equations 4 to 7 of Wu et al. 2018, as written there."""
    k = len(noise)
    p_noise = 1 / images

    def h(rows):
        p = torch.exp((query * rows).sum(1) / temperature) / z
        return p / (p + k * p_noise)

    loss = -torch.log(h(positive))
    for row in noise:
        loss = loss - torch.log(1 - h(row.expand_as(query)))
    return loss.mean()
