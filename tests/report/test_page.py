"""The page: its colors, tables and pictures."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from sslfast.report.page import picture, stylesheet, table
from tests.report.markup import Markup


def colors() -> list[dict[str, str]]:
    """Reads the page's colors by name: the light ones, the dark ones."""
    light, dark = re.findall(r":root \{([^}]*)\}", stylesheet())
    return [dict(re.findall(r"--([\w-]+): (#\w+)", block)) for block in (light, dark)]


def luminance(color: str) -> float:
    """Computes the relative luminance of WCAG 2."""
    digits = color[1:] if len(color) == 7 else "".join(digit * 2 for digit in color[1:])
    levels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in levels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def test_the_dark_page_has_each_color_of_the_light_one() -> None:
    light, dark = colors()
    assert light.keys() == dark.keys()
    used = set(re.findall(r"var\(--([\w-]+)\)", stylesheet()))
    assert used <= light.keys()
    assert luminance(light["paper"]) > 0.9
    assert luminance(dark["paper"]) < 0.05


@pytest.mark.parametrize("mode", [0, 1])
def test_contrast_is_enough(mode: int) -> None:
    """WCAG 2.1: 4.5 for text, 3 for graphics; dots of some classes have less on white."""
    found = colors()[mode]
    for name in ("ink", "quiet"):
        assert contrast(found[name], found["paper"]) >= 4.5
    for name in ("blue", "vermilion"):
        assert contrast(found[name], found["paper"]) >= 3
    for number in range(10):
        assert contrast(found[f"class-{number}"], found["paper"]) >= 2


def test_tables_scroll_within_the_page() -> None:
    markup = table(["a", "b"], [[("1", ""), ("2", "3")]])
    assert markup.startswith('<div class="scroll"><table>')
    assert re.search(r"\.scroll \{ overflow-x: auto; \}", stylesheet())
    assert re.findall("<th [^>]*>(.*?)</th>", markup) == ["a", "b", "1"]
    assert re.findall("<td>(.*?)</td>", markup) == ["2 <small>3</small>"]


def content(markup: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(markup.split("base64,")[1].split('"')[0])))


def test_small_pictures_are_exact_and_large_ones_compressed() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    small = picture(Image.fromarray(pixels), 'a "view"')
    np.testing.assert_array_equal(np.asarray(content(small)), pixels)
    assert "class=pixels" in small
    assert Markup(small).pictures == ['a "view"']
    large = picture(Image.new("RGB", (200, 100)), "x")
    assert content(large).format == "JPEG"
    assert content(large).size == (200, 100)
    assert "pixels" not in large
