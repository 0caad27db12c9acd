"""The commands of `make downstream-check`: an encoder is pre-trained, and judged by every protocol.

Each is what a person would type, but for `{...}`, which stand for places. Schedules are short: the numbers that
are changed stand in the command, all others are the protocol's own. The steps of LARS are a share of the weights'
length: so few of them need a higher rate.
"""

from __future__ import annotations

RECIPE = (
    "data.size=64 data.batch_size=64 encoder.width=0.25 train.epochs=8 train.knn_every=4 data.val_fraction=0.05"
)
PRETRAIN = f"sslfast pretrain simclr_imagenette --data {{imagenette}} --out {{runs}}/simclr {RECIPE}"
SUPERVISED = f"sslfast pretrain supervised_imagenette --data {{imagenette}} --out {{runs}}/supervised {RECIPE}"

# What is judged with labels: held-out images are Imagenette's own validation images.
PHOTOGRAPHS = "{runs}/simclr --data {imagenette} --val {imagenette_val} limit=2000"
# What is judged on objects, all of one class: few images show any single one. A fixed part is held out.
OBJECTS = "{runs}/simclr --data {objects} val_fraction=0.25"
BESIDE = "--random-baseline --supervised {runs}/supervised"

# Of networks as they are before training: so few images do not tell encoders apart, but they show what is learned.
UNTRAINED = {
    "detect": f"sslfast evaluate detect {OBJECTS} iterations=1 size=128 rois=32 lr=1e-6 {BESIDE}",
    "segment": f"sslfast evaluate segment {OBJECTS} iterations=1 lr=1e-6 {BESIDE}",
}
EVALUATE = tuple(
    f"sslfast evaluate {protocol} {BESIDE}"
    for protocol in (
        f"knn {PHOTOGRAPHS} k=[20,200] temperature=[0.07,0.1]",
        f"linear {PHOTOGRAPHS} protocol=fast",
        f"linear {PHOTOGRAPHS}",
        f"linear {PHOTOGRAPHS} protocol=moco epochs=5",
        f"linear {PHOTOGRAPHS} protocol=simsiam epochs=5 batch_size=64 lr=8",
        f"linear {PHOTOGRAPHS} protocol=mncl epochs=5 batch_size=64 lr=8",
        f"linear {PHOTOGRAPHS} protocol=lewel_m epochs=5 batch_size=64 lr=8",
        f"linear {PHOTOGRAPHS} protocol=lewel_b epochs=5",
        f"finetune {PHOTOGRAPHS} labels=1% epochs=20 batch_size=32",
        f"finetune {PHOTOGRAPHS} labels=10% epochs=10 batch_size=64",
        f"finetune {PHOTOGRAPHS} labels=10% epochs=10 batch_size=64 frozen=3",
        f"finetune {PHOTOGRAPHS} labels=10% epochs=10 batch_size=64 frozen=all head=mlp",
        f"finetune {PHOTOGRAPHS} epochs=3 batch_size=64",
        f"detect {OBJECTS} iterations=600 size=128 rois=32 lr=0.32",
        f"segment {OBJECTS}",
    )
)
COMMANDS = (*EVALUATE, *UNTRAINED.values())
