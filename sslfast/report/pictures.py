"""The pictures that an evaluation left beside its result: predictions drawn over images."""

from __future__ import annotations

import glob
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from sslfast.data.sources.images import UnreadableImage, read_rgb
from sslfast.errors import UsageError
from sslfast.report.page import escape, picture

NAME = re.compile(r"\.(.+)\.picture-(\d+)\.jpg")


def draw_pictures(result: Path) -> Iterator[str]:
    """Yields a figure for each encoder with its pictures, `<result>.<encoder>.picture-<n>.jpg`, in the order of n.

    Args:
        result: the evaluation's JSON file.

    Raises:
        UsageError: a picture cannot be read.
    """
    numbered: dict[str, dict[int, Path]] = defaultdict(dict)
    for file in sorted(result.parent.glob(f"{glob.escape(result.stem)}.*.picture-*.jpg")):
        if name := NAME.fullmatch(file.name.removeprefix(result.stem)):
            numbered[name[1]][int(name[2])] = file
    for encoder, files in numbered.items():
        caption = encoder.replace("_", " ").replace(".seed", ", seed ")
        shown = (_shown(file, f"{caption}, picture {number}") for number, file in sorted(files.items()))
        yield (
            f'<figure class="views"><figcaption>Predictions, {escape(caption)}</figcaption>\n'
            f'<div class="pictures">{"".join(shown)}</div></figure>'
        )


def _shown(file: Path, description: str) -> str:
    try:
        return picture(read_rgb(file), description)
    except UnreadableImage as error:
        raise UsageError(f"{file}: cannot be read ({error}); evaluate again, or remove it") from error
