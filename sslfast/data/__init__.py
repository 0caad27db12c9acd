"""From images on disk to batches of augmented views: sources, draws, loaders."""

from sslfast.data.batch import Batch, Loader
from sslfast.data.evaluation import eval_batches
from sslfast.data.loader import load_small, make_loader
from sslfast.data.sources import Source, open_data, open_source
from sslfast.data.spec import LoaderSpec
from sslfast.data.split import split

__all__ = [
    "Batch",
    "Loader",
    "LoaderSpec",
    "Source",
    "eval_batches",
    "load_small",
    "make_loader",
    "open_data",
    "open_source",
    "split",
]
