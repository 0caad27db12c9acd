"""A loss of lightly's and the one that sslfast has in its place: equal values and gradients, and their times.

pip install lightly
python examples/replace_lightly.py --batch-size 1024
"""

import argparse

import lightly.loss
import torch
from torch.utils.benchmark import Timer

import sslfast
from sslfast.nn.compat.lightly import NTXentLoss  # the one line to change: from lightly.loss import NTXentLoss

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("--batch-size", type=int, default=1024)
parser.add_argument("--dim", type=int, default=128)
parser.add_argument("--seconds", type=float, default=2, help="how long each of the two is timed")
args = parser.parse_args()

torch.manual_seed(0)
device = "cuda" if torch.cuda.is_available() else "cpu"
z1, z2 = (torch.randn(args.batch_size, args.dim, device=device, requires_grad=True) for _ in range(2))


def train_step(criterion):
    loss = criterion(z1, z2)
    return loss.detach(), torch.autograd.grad(loss, z1)[0]


losses = {"lightly": lightly.loss.NTXentLoss(temperature=0.1), "sslfast": NTXentLoss(temperature=0.1)}
(loss, gradient), (our_loss, our_gradient) = map(train_step, losses.values())
print(f"loss {loss:.6f} and {our_loss:.6f}, gradients at most {(gradient - our_gradient).abs().max():.1e} apart")
for name, criterion in losses.items():
    timer = Timer("train_step(criterion)", globals={"train_step": train_step, "criterion": criterion})
    print(f"{name}: {1e3 * timer.blocked_autorange(min_run_time=args.seconds).median:.2f} ms")

# In code that is not yours the losses are swapped where they sit, before it makes objects of them.
swapped = sslfast.patch("lightly")
is_ours = lightly.loss.NTXentLoss is NTXentLoss
print(f"{len(swapped)} names are ours now, among them lightly.loss.NTXentLoss: {is_ours}")
sslfast.unpatch("lightly")
