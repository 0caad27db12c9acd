"""Puts the generated tables into README.md and docs/, each between `<!-- NAME -->` and `<!-- /NAME -->`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from sslfast.benchmarks.tables import images, learning, ops, records, steps

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *(ROOT / "docs" / name for name in ("RESULTS.md", "kernels.md", "scaling.md"))]


def generate(text: str) -> str:
    """Returns a page's text with its tables made anew."""
    tables: dict[str, Callable[[], str]] = {
        "summary": ops.summary,
        "records": records.headers,
        "implementations": ops.implementations,
        "host time": ops.host_time,
        "views": images.views,
        "input": images.input_share,
        "features": images.features,
        "methods": learning.methods,
        "downstream": learning.downstream,
        "published": learning.published,
        "reproduced": partial(learning.reproduced, "small"),
        "reproduced in full": partial(learning.reproduced, "full"),
        "train": steps.train,
        "exchange": steps.exchange,
        "computed": steps.computed,
        **{f"figures {name}": partial(ops.figures, name) for name in records.recorded()},
    }
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        if begin in text:
            head, rest = text.split(begin, 1)
            text = f"{head}{begin}{table()}\n{end}{rest.split(end, 1)[1]}"
    return text
