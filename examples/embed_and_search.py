"""The features of a folder's images, computed once, find those like a given image, and those that are there twice.

python examples/embed_and_search.py runs/photos photographs/ photographs/cat/1.jpg
"""

import argparse

import torch
from PIL import Image, ImageOps
from torch.utils.data import Dataset

import sslfast

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("encoder", help="a run's directory, a file of weights, torchvision/resnet18, ...")
parser.add_argument("data", help="the folder to search")
parser.add_argument("queries", nargs="+", help="files of images, which need not be in the folder")
parser.add_argument("--k", type=int, default=5, help="matches of a query")
parser.add_argument("--duplicates", type=float, default=0.99, help="least cosine of a pair that is named")
parser.add_argument("--out", default="embeddings.npz", help="the features, for `sslfast search` too")
args = parser.parse_args()


class Files(Dataset):
    def __len__(self):
        return len(args.queries)

    def __getitem__(self, number):
        return ImageOps.exif_transpose(Image.open(args.queries[number]))  # the way up that its camera says


found = sslfast.embed(args.encoder, args.data, args.out)
print(f"{len(found.images)} images, each of {found.features.shape[1]} features, in {args.out}")

queries = sslfast.embed(args.encoder, Files())
for name, matches in zip(args.queries, found.nearest(torch.from_numpy(queries.features), args.k), strict=True):
    print(f"like {name}:")
    for cosine, _, place in matches:
        print(f"  {cosine:.3f}  {found.images[place]}")

pairs = found.duplicates(args.duplicates)
print(f"{len(pairs)} pairs have a cosine of at least {args.duplicates:g}")
for cosine, one, other in pairs[:10]:
    print(f"  {cosine:.3f}  {found.images[one]}  {found.images[other]}")
