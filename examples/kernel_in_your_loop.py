"""MoCo in a loop of plain PyTorch, where sslfast computes the loss, moves the queue and the average, and no more.

python examples/kernel_in_your_loop.py --steps 200
"""

import argparse
import copy

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet18

from sslfast import kernels as K
from sslfast.data import open_source
from sslfast.transforms import Views

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("--steps", type=int, default=200)
parser.add_argument("--batch-size", type=int, default=64)
parser.add_argument("--queue-size", type=int, default=1024)
parser.add_argument("--log-every", type=int, default=20)
args = parser.parse_args()

torch.manual_seed(0)
device = "cuda" if torch.cuda.is_available() else "cpu"
images = torch.from_numpy(open_source("shapes").images).to(device)  # uint8 (5000, 32, 32, 3), generated
views = Views("moco_v2_cifar", size=32)

network = resnet18()
network.fc = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 128))
network.to(device)
key_network = copy.deepcopy(network).requires_grad_(False)
optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.05)
queue = F.normalize(torch.randn(args.queue_size, 128, device=device), dim=1)
pointer = torch.zeros((), dtype=torch.int64, device=device)  # the queue's oldest row

for step in range(1, args.steps + 1):
    batch = images[torch.randint(len(images), (args.batch_size,), device=device)]
    query_view, key_view = views(batch)
    query = F.normalize(network(query_view), dim=1)
    with torch.no_grad():
        keys = F.normalize(key_network(key_view), dim=1)
    # The matrix of similarities to the queue is never in memory; the rank counts the negatives above the positive.
    loss, rank = K.info_nce(query, keys, queue, temperature=0.2, return_rank=True)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    K.ema_update_(list(key_network.parameters()), list(network.parameters()), 0.9)  # MoCo: 0.999, of long runs
    K.enqueue_(queue, keys, pointer)
    if step % args.log_every == 0:
        print(f"step {step}: loss {loss.item():.3f}, positive first in {(rank == 0).float().mean().item():.0%}")
