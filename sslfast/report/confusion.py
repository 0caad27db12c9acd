"""The picture of what a classifier takes for what, and the commonest confusions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sslfast.report.numbers import percent
from sslfast.report.page import aside, escape, table

Confusion = Sequence[Sequence[int]]  # (label, predicted class, number of images) of each pair that occurs

WIDTH, NAMES = 400, 108  # of a drawing; of them the names' column, and the names' row below
NAMED, NUMBERED = 30, 12  # classes, up to which they are named, and cells have numbers
LONGEST = 13  # characters of a name
LEVELS = 10  # of a cell's color
DARK = 0.75  # share from which on a number is light on its cell
COMMONEST = 5  # confusions that are listed


def draw_confusion(encoder: str, confusion: Confusion, classes: Sequence[str]) -> str:
    """Draws a confusion matrix as a figure: a row a class, of whose images each cell has a share, if it has any.

    Args:
        encoder: the name of what is drawn, for the title.
        confusion: classes by their positions in `classes`.
        classes: their names, at least one.
    """
    shares = _shares(confusion)
    left = NAMES if len(classes) <= NAMED else 0
    side = (WIDTH - left) / len(classes)
    parts = [_cells(shares, left, side, right) for right in (True, False)]
    if len(classes) <= NUMBERED:
        parts += [_number(*pair, share, left, side) for pair, share in shares.items()]
    if left:
        parts += [_names(number, name, left, side) for number, name in enumerate(classes)]
    right = sum(images for label, predicted, images in confusion if label == predicted)
    total = sum(images for _, _, images in confusion)
    told = escape(f"What {encoder} takes for what: {right} of {total} images are right")
    return "\n".join(
        [
            "<figure>",
            f"<figcaption>{escape(f'What is taken for what, {encoder}')}</figcaption>",
            f'<svg viewBox="0 0 {WIDTH} {WIDTH}" role="img" aria-label="{told}">',
            *parts,
            "</svg>",
            aside(
                "A row is a class, a column what it is taken for; a cell's share, in percent, is of its row. "
                "Good: a diagonal, and little beside it."
            ),
            "</figure>",
        ]
    )


def commonest_confusions(confusion: Confusion, classes: Sequence[str]) -> str:
    """Makes a table of the pairs of classes that most images are confused in; a line where there is none."""
    images_of: dict[int, int] = defaultdict(int)
    for label, _, images in confusion:
        images_of[label] += images
    wrong = [(label, predicted, images) for label, predicted, images in confusion if label != predicted and images]
    if not wrong:
        return aside("No image is confused.")
    most = sorted(wrong, key=lambda pair: -pair[2])[:COMMONEST]
    rows = [
        (
            (classes[label], ""),
            (classes[predicted], ""),
            (f"{images:,} of {images_of[label]:,}", percent(images / images_of[label])),
        )
        for label, predicted, images in most
    ]
    return table(["commonest confusions", "taken for", "images"], rows)


def _shares(confusion: Confusion) -> dict[tuple[int, int], float]:
    """Computes the share of a label's images by (label, predicted class)."""
    images_of: dict[int, int] = defaultdict(int)
    for label, _, images in confusion:
        images_of[label] += images
    return {(label, predicted): images / images_of[label] for label, predicted, images in confusion if images}


def _cells(shares: dict[tuple[int, int], float], left: float, side: float, right: bool) -> str:
    """Draws the cells on the diagonal or beside it, a path a level: a page of thousands of elements is slow."""
    levels: dict[int, list[str]] = defaultdict(list)
    for (label, predicted), share in shares.items():
        if (label == predicted) == right:
            place = f"M{left + predicted * side:.5g} {label * side:.5g}"
            levels[max(1, round(LEVELS * share))].append(f"{place}h{side:.4g}v{side:.4g}h-{side:.4g}z")
    kind = "right" if right else "wrong"
    return "\n".join(
        f'<path class="{kind}" fill-opacity="{level / LEVELS:g}" d="{"".join(cells)}"/>'
        for level, cells in sorted(levels.items())
    )


def _number(label: int, predicted: int, share: float, left: float, side: float) -> str:
    x, y = left + (predicted + 0.5) * side, (label + 0.5) * side
    kind = "on-dark" if share >= DARK else "on-light"
    return f'<text class="{kind}" x="{x:.5g}" y="{y + 4.5:.5g}" text-anchor="middle">{100 * share:.0f}</text>'


def _names(number: int, name: str, left: float, side: float) -> str:
    """Writes a class's name beside its row, and below its column."""
    name = escape(name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…")
    middle, size = (number + 0.5) * side, min(13.0, side)
    beside = f'x="{left - 6}" y="{middle + size / 3:.5g}" text-anchor="end"'
    x, y = left + middle + size / 3, WIDTH - left + 6
    below = f'transform="translate({x:.5g} {y:.5g}) rotate(-90)" text-anchor="end"'
    return "".join(f'<text style="font-size:{size:.3g}px" {place}>{name}</text>' for place in (beside, below))
