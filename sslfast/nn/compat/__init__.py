"""Losses with the constructors and calls of other packages': change the import line, and nothing else.

    from lightly.loss import NTXentLoss                    # before
    from sslfast.nn.compat.lightly import NTXentLoss       # after

    from pytorch_metric_learning.losses import SupConLoss
    from sslfast.nn.compat.pytorch_metric_learning import SupConLoss

Losses and gradients are the originals' to rounding; a loss is in fp32 where the original's has the inputs' dtype.
What is not supported is refused where it is asked for. An original's departures from the papers are kept, and
documented at the class.

`sslfast.patch("lightly")` puts them in place of the originals in code that is not yours.
"""
