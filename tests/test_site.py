"""The documentation builds as a site, whose pages are read from the code: here they are held to what it does."""

import html
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sslfast.config import Recipe
from sslfast.config.settings import fields
from sslfast.kernels.common.op import OPS
from sslfast.methods import METHODS
from sslfast.recipes.load import recipes

ROOT = Path(__file__).resolve().parents[1]
PATH = f"{ROOT / '.venv-site' / 'bin'}{os.pathsep}{os.environ['PATH']}"
MKDOCS = shutil.which("mkdocs", path=PATH)
LOADS = re.compile(r"""<(?:script|img|link rel="?(?:stylesheet|preload|preconnect))[^>]*\bhttps?:[^>]*>""")


@pytest.mark.skipif(MKDOCS is None, reason="needs mkdocs, which `make site` installs")
def test_the_site_builds_without_a_warning_and_has_a_page_for_each(tmp_path):
    command = [MKDOCS, "build", "--strict", "--site-dir", tmp_path]
    built = subprocess.run(command, cwd=ROOT, env=os.environ | {"PATH": PATH}, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr

    pages = {page.relative_to(tmp_path).as_posix(): text(page) for page in tmp_path.rglob("*.html")}
    assert {name for name in pages if name.startswith("ops/")} == {f"ops/{op}.html" for op in OPS}
    assert {name for name in pages if name.startswith("methods/")} == {f"methods/{name}.html" for name in METHODS}
    for name, method in METHODS.items():
        page = pages[f"methods/{name}.html"]
        assert all(f"method.{setting}=" in page for setting in fields(method.Config) if setting != "name"), name
    of_methods = " ".join(page for name, page in pages.items() if name.startswith("methods/"))
    assert not [recipe for recipe in recipes() if not re.search(rf"\b{recipe}\b", of_methods)]
    for section in ("data", "encoder", "optim", "train"):
        for setting in fields(fields(Recipe)[section].annotation):
            assert f"{section}.{setting}=" in pages["settings.html"]

    (row,) = re.findall(r"^\| `info_nce` \| (\d.*) \|$", (ROOT / "docs" / "RESULTS.md").read_text(), re.MULTILINE)
    assert all(cell.strip("*") in pages["ops/info_nce.html"] for cell in row.split(" | "))
    assert not [page for page in tmp_path.rglob("*.html") if LOADS.search(page.read_text())]


def text(page):
    """Reads the text of a page, as one reads it."""
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text()))
