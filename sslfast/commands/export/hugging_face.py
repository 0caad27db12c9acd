"""The format of the Hugging Face Hub: a folder with a model card, a configuration and weights that timm loads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sslfast.commands.evaluate import results_folder
from sslfast.commands.export.metadata import metadata
from sslfast.commands.export.timm import TimmModel, as_timm
from sslfast.data.sources.names import joined
from sslfast.evaluation.result import Evaluation
from sslfast.recipes.load import to_yaml
from sslfast.run.atomic import atomic_write
from sslfast.run.backbone import write_safetensors
from sslfast.weights import NamedEncoder
from sslfast.weights.digest import weights_digest

CARD, CONFIG, WEIGHTS = "README.md", "config.json", "model.safetensors"
CARD_TEXT = """\
---
license: unknown  # the weights are yours: name the license that you give them
library_name: timm
pipeline_tag: image-feature-extraction
tags: [self-supervised, sslfast]
---

# {title}

A network from images to {features} features, without a classifier.

```python
import timm

model = timm.create_model("local-dir:FOLDER", pretrained=True).eval()
```

It takes {images}.

## Training

{training}

## Figures

{figures}

## License

None is stated yet: the weights are their owner's, and sslfast claims nothing of them.
"""


def write_hugging_face(found: NamedEncoder, out: Path) -> None:
    """Writes an encoder as a folder that can be uploaded to the Hub, or loaded where it is:

        model = timm.create_model("local-dir:folder", pretrained=True)

    README.md is the model card: the method, the data, the recipe and the evaluations of these weights. It states
    no license, as the weights are their owner's, who is to choose one. Other files in the folder stay.

    Raises:
        UsageError: timm has no such architecture, or an evaluation of the run cannot be read.
    """
    model = as_timm(found)
    card = _card(found, model)
    is_new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        write_safetensors(out / WEIGHTS, model.weights, metadata(found, model.call()))
        for name, text in ((CONFIG, json.dumps(_config(found, model), indent=2) + "\n"), (CARD, card)):
            with atomic_write(out / name) as file:
                file.write(text.encode())
    except BaseException:  # a signal's, too
        if is_new:
            shutil.rmtree(out)
        raise


def _config(found: NamedEncoder, model: TimmModel) -> dict[str, Any]:
    """Returns the configuration as timm writes and reads it."""
    side, channels = found.data.size, found.data.channels
    images = {"input_size": [channels, side, side], "mean": list(found.data.mean), "std": list(found.data.std)}
    return {
        "architecture": model.name,
        "num_classes": 0,
        "num_features": found.encoder.feature_dim,
        "pretrained_cfg": {"tag": "sslfast", "custom_load": False, "num_classes": 0, **images},
        "model_args": model.options,
    }


def _card(found: NamedEncoder, model: TimmModel) -> str:
    data = found.data
    kind = "RGB images" if data.channels == 3 else f"images of {data.channels} channels,"
    images = f"{kind} of {data.size} x {data.size} pixels in [0, 1], less {data.mean}, divided by {data.std}"
    method = "" if found.recipe is None else f", pre-trained by {found.recipe.method.name}"
    return CARD_TEXT.format(
        title=f"{model.name}{method}",
        features=found.encoder.feature_dim,
        images=images,
        training="\n".join(_training(found)),
        figures="\n".join(_figures(found)),
    )


def _training(found: NamedEncoder) -> Iterator[str]:
    if found.recipe is None:
        yield f"The weights of {found.name}, which sslfast did not train."
        return
    recipe = found.recipe
    steps = "" if found.step is None else f", {found.step} steps"
    yield f"- method: {recipe.method.name}, by sslfast"
    yield f"- data: {joined(recipe.data.source)}"
    yield f"- length: {recipe.train.epochs} epochs{steps}, batches of {recipe.data.batch_size} images"
    yield f"\n<details><summary>The recipe</summary>\n\n```yaml\n{to_yaml(recipe).strip()}\n```\n\n</details>"


def _figures(found: NamedEncoder) -> Iterator[str]:
    """Yields the evaluations of these weights as tables of Markdown."""
    digest = weights_digest(found.encoder)
    results = [Evaluation.load(path) for path in sorted(results_folder(found.file).glob("*.json"))]
    own = [result for result in results if result.weights == digest]
    if not own:
        yield "Not evaluated yet."
    for result in own:
        heading, *rows = result.cells()
        yield from ("", f"{result.caption()}", "")
        for cells in (heading, ["---"] * len(heading), *rows):
            yield f"| {' | '.join(cells)} |"
