"""The networks whose parameters the optimizers' and the moving average's benchmarks take."""

import torch
import torchvision

NETWORKS = ("resnet18", "resnet50", "vit_b_16")


def shapes(network: str) -> list[torch.Size]:
    """Lists the shapes of the parameters of a network of torchvision."""
    with torch.device("meta"):
        return [parameter.shape for parameter in torchvision.models.get_model(network).parameters()]
