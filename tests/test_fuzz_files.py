"""Files with damaged or forged bytes: each is read, or refused in one sentence that names it.

SSLFAST_FUZZ is the number of cases of each kind of file.
"""

import io
import json
import os
import random
import re

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from sslfast import load_encoder
from sslfast.config import EncoderConfig
from sslfast.data import open_source
from sslfast.data.annotations import open_annotated
from sslfast.data.masks.files import read_mask
from sslfast.data.sources.images import UnreadableImage, read_rgb
from sslfast.embeddings import files as embeddings
from sslfast.embeddings.embeddings import Embeddings
from sslfast.encoders import build_encoder
from sslfast.errors import UsageError
from sslfast.evaluation.result import Evaluation
from sslfast.recipes.load import load_recipe, to_dict
from sslfast.run import checkpoint
from sslfast.run.backbone import write_backbone
from sslfast.run.metrics import read_metrics
from tests.data.annotations.drawn import draw, write_coco, write_voc, write_yolo
from tests.data.sources.archives import write_archive
from tests.recipes.odd_values import VALUES

CASES = int(os.environ.get("SSLFAST_FUZZ", "25"))
MOST = 2500  # characters of a message, beside what it cites of the file
LONGEST_VALUE = max(map(len, VALUES))
TINY = EncoderConfig(stem="cifar", width=0.125)


def picture(form, **options):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 14, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, form, **options)
    return content.getvalue()


def image_file(form, **options):
    def write(folder):
        path = folder / f"a.{form}"
        path.write_bytes(picture(form, **options))
        return path, lambda: read_rgb(path)

    return write


def mask(folder):
    path = folder / "a.png"
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8) % 3).save(path)
    return path, lambda: read_mask(path)


def tar(folder):
    path = write_archive(
        folder / "images.tar", {f"{kind}/{number}.png": picture("png") for kind in "ab" for number in range(2)}
    )
    return path, lambda: open_source(str(path))


def shard(folder):
    samples = {
        f"{n}.{end}": content for n in range(3) for end, content in (("png", picture("png")), ("cls", b"1"))
    }
    path = write_archive(folder / "images.tar", samples)
    return path, lambda: open_source(str(folder / "images{,}.tar"))


def saved_checkpoint(folder):
    path = folder / "last.pt"
    checkpoint.save(path, {"step": 3, "method": {"weight": torch.arange(6.0)}, "rng": [torch.ones(2), None]})
    return path, lambda: checkpoint.load(path)


def run_backbone(folder):
    path = folder / "backbone.safetensors"
    write_backbone(build_encoder(TINY), path, to_dict(load_recipe("simclr_cifar10", ["encoder.width=0.125"])))
    return path, lambda: load_encoder(path)


def other_weights(form):
    def write(folder):
        path, tensors = folder / f"resnet.{form}", dict(build_encoder(TINY).state_dict())
        save_file(tensors, path) if form == "safetensors" else torch.save({"state_dict": tensors}, path)
        return path, lambda: load_encoder(path)

    return write


def annotated(write_data, file):
    def write(folder):
        root = write_data(folder / "data", draw(3, seed=0))
        return root / file, lambda: open_annotated(str(root))

    return write


def embedded(folder):
    path = folder / "a.npz"
    features = np.ones((2, 3), dtype=np.float32)
    embeddings.write(Embeddings(features, ["a", "b"], np.array([0, 1]), ["x", "y"], "e", "w"), path)
    return path, lambda: embeddings.read(path)


def evaluation(folder):
    row = {"encoder": "pre-trained", "seed": 0, "k": 5, "temperature": 0.1, "top1": 0.5, "top5": 1.0}
    path = Evaluation("knn", "runs/a", "d", None, {"k": [5]}, 8, 4, 2, 0.5, [row], seconds=1.0).save(folder)
    return path, lambda: Evaluation.load(path)


def metrics(folder):
    path = folder / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": n, "epoch": n / 2, "loss": 1.5}) + "\n" for n in range(4)))
    return path, lambda: read_metrics(path)


KINDS = {
    **{form: image_file(form) for form in ("png", "jpeg", "gif", "bmp", "tiff", "webp", "ppm")},
    "mask": mask,
    "tar": tar,
    "shard": shard,
    "checkpoint": saved_checkpoint,
    "backbone": run_backbone,
    "safetensors": other_weights("safetensors"),
    "pth": other_weights("pth"),
    "yolo": annotated(write_yolo, "labels/001.txt"),
    "yolo names": annotated(write_yolo, "data.yaml"),
    "coco": annotated(write_coco, "annotations/instances_train2017.json"),
    "voc": annotated(write_voc, "Annotations/trainval_001.xml"),
    "voc split": annotated(write_voc, "ImageSets/Main/trainval.txt"),
    "embeddings": embedded,
    "evaluation": evaluation,
    "metrics": metrics,
}
AS_TEXT = {"yolo", "yolo names", "coco", "voc", "voc split", "evaluation", "metrics"}


def damaged(content, chance):
    """Damages the content: bits flipped, a part cut out, doubled or made of noise, or without its end."""
    at = chance.randrange(len(content))
    length = chance.choice([1, 2, 8, 64])
    noise = chance.randbytes(length)
    return chance.choice(
        [
            content[:at],
            content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :],
            content[:at] + content[at + length :],
            content[:at] + content[at : at + length] * 2 + content[at + length :],
            content[:at] + noise + content[at + length :],
            content[:at] + b"\xff" * length + content[at + length :],
            b"",
        ]
    )


def forged(content, chance):
    """Puts an odd value in the place of a word or a number of the content."""
    text = content.decode()
    start, end = chance.choice([match.span() for match in re.finditer(r"[\w.+-]+", text)])
    return (text[:start] + chance.choice(VALUES) + text[end:]).encode("utf-8", "surrogateescape")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_read_or_refused_in_a_sentence(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path, read = KINDS[kind](tmp_path)
    read()  # as it is written
    content, chance, messages = path.read_bytes(), random.Random(kind), []
    for _ in range(CASES):
        changed = (forged if kind in AS_TEXT and chance.random() < 0.5 else damaged)(content, chance)
        path.write_bytes(changed)
        try:
            read()
        except (UsageError, UnreadableImage) as error:
            messages.append(str(error))
        except Exception as error:
            raise AssertionError(f"{error!r}, of {changed!r}") from error
    assert messages or kind == "metrics"  # whose lines that are none are passed over
    assert all(0 < len(message) < MOST + LONGEST_VALUE for message in messages)
