"""MoCo's loss as its paper writes it."""

import copy

import torch
import torch.nn.functional as F


def moco_transcription(method, query_view, key_view):
    """Runs algorithm 1 of He et al. 2020 on copies of the networks."""
    query_network = copy.deepcopy(torch.nn.Sequential(method.encoder, method.head))
    key_network = copy.deepcopy(method.key_network.module)
    q = F.normalize(query_network(query_view), dim=1)
    k = F.normalize(key_network(key_view), dim=1).detach()
    l_pos = torch.einsum("nc,nc->n", q, k).unsqueeze(-1)
    l_neg = torch.einsum("nc,kc->nk", q, method.queue.keys)
    logits = torch.cat([l_pos, l_neg], dim=1) / method.config.temperature
    loss = F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))
    return loss, query_network, k
