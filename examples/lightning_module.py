"""MoCo as a LightningModule: sslfast has its loss, its views, its queue and its moving average.

python examples/lightning_module.py --epochs 5
"""

import argparse
import copy

import lightning as L
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import resnet18

from sslfast import kernels as K
from sslfast.data import open_source
from sslfast.nn import InfoNCELoss
from sslfast.transforms import Views


class MoCo(L.LightningModule):
    """Queries find their image's key among those of earlier batches (He et al. 2020).

    Args:
        queue_size: how many keys the queue holds, a multiple of the batch size.
        momentum: how slowly the key network follows.
    """

    def __init__(self, queue_size: int = 1024, momentum: float = 0.99) -> None:
        super().__init__()
        self.network = resnet18()
        self.network.fc = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 128))
        self.key_network = copy.deepcopy(self.network).requires_grad_(False)
        self.register_buffer("queue", F.normalize(torch.randn(queue_size, 128), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))  # the queue's oldest row
        self.views, self.loss, self.momentum = Views("moco_v2_cifar", size=32), InfoNCELoss(0.2), momentum

    def training_step(self, batch, batch_idx):
        query_view, key_view = self.views(batch[0])
        query = F.normalize(self.network(query_view), dim=1)
        with torch.no_grad():
            self.keys = F.normalize(self.key_network(key_view), dim=1)
        loss, rank = self.loss(query, self.keys, self.queue, return_rank=True)
        self.log_dict({"loss": loss, "accuracy": (rank == 0).float().mean()}, prog_bar=True)
        return loss

    def on_train_batch_end(self, outputs, batch, batch_idx):
        """Moves what follows the step, in place: the key network, and the queue."""
        K.ema_update_(list(self.key_network.parameters()), list(self.network.parameters()), self.momentum)
        K.enqueue_(self.queue, self.keys, self.pointer)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.network.parameters(), lr=1e-3, weight_decay=0.05)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--queue-size", type=int, default=1024)
    args = parser.parse_args()

    L.seed_everything(0)
    images = torch.from_numpy(open_source("shapes").images[: args.images])  # uint8 (N, 32, 32, 3), generated
    loader = DataLoader(TensorDataset(images), args.batch_size, shuffle=True, drop_last=True)
    model = MoCo(args.queue_size)
    trainer = L.Trainer(max_epochs=args.epochs, logger=False, enable_checkpointing=False)
    trainer.fit(model, loader)
    print({name: round(value.item(), 3) for name, value in trainer.callback_metrics.items()})
