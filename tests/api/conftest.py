"""A run that tests of the Python API look at."""

import pytest
import torch

import sslfast
from tests.api.runs import LABELS, SMALL, Network, images


@pytest.fixture(scope="session")
def own(tmp_path_factory):
    """Makes a run of a network and images of one's own, not to be changed; the network; what the callbacks got."""
    torch.manual_seed(0)
    network, calls = Network(), []
    run = sslfast.pretrain(
        "simclr",
        tmp_path_factory.mktemp("own") / "run",
        data=(images(), LABELS),
        encoder=network,
        on_step=lambda step, values: calls.append(("step", step, values["loss"].item())),
        on_epoch=lambda epoch, encoder: calls.append(("epoch", epoch, encoder.feature_dim)),
        **SMALL,
    )
    return run, network, calls
