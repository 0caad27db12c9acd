"""A DataLoader reads photographs of any size, and sslfast makes the augmented views of a batch in one pass.

python examples/views_in_a_dataloader.py photographs/ --views byol --out views.png
"""

import argparse

import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms.v2 import functional as F
from torchvision.utils import save_image

from sslfast.transforms import Views
from sslfast.views import to_rgb

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("data", help="a folder with a subfolder for each class")
parser.add_argument("--views", default="simclr", help="a method's views, as data.views of a recipe names them")
parser.add_argument("--size", type=int, default=224)
parser.add_argument("--batch-size", type=int, default=64)
parser.add_argument("--workers", type=int, default=0)
parser.add_argument("--out", default="views.png")
args = parser.parse_args()


def collate(items):
    images, labels = zip(*items, strict=True)  # uint8 (3, H, W), each of its own size
    return list(images), torch.tensor(labels)


device = "cuda" if torch.cuda.is_available() else "cpu"
dataset = ImageFolder(args.data, transform=F.pil_to_tensor)  # read whole: the crop is a part of the views
loader = DataLoader(dataset, args.batch_size, shuffle=True, num_workers=args.workers, collate_fn=collate)
views = Views(args.views, size=args.size, seed=0)
for number, (images, labels) in enumerate(loader):
    made = views([image.to(device) for image in images])  # fp32 (B, 3, size, size) each, normalized
    print(f"batch {number}: {len(labels)} images, views of {[tuple(view.shape[1:]) for view in made]}")
    if number == 0:
        rows = [to_rgb(view[:8], views.data.mean, views.data.std) for view in made if view.shape[-1] == args.size]
        save_image(torch.cat(rows), args.out, nrow=min(8, len(labels)))
