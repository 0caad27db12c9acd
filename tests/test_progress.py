"""Progress bars: where they are shown."""

import io
import sys
from types import ModuleType, SimpleNamespace

import pytest

from sslfast.progress import in_notebook, is_shown, tqdm, trange


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def notebook(monkeypatch):
    """Puts IPython in place as it is in a kernel of Jupyter."""
    ipython = ModuleType("IPython")
    ipython.get_ipython = lambda: SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    return ipython


def test_nobody_sees_a_bar_in_a_file(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not is_shown()
    assert tqdm([1], disable=None).disable
    assert list(trange(1, 3)) == [1, 2]
    assert sys.stderr.getvalue() == ""


def test_a_terminal_shows_it_unless_it_is_disabled(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert is_shown()
    assert not tqdm([1]).disable
    assert tqdm([1], disable=True).disable


def test_a_notebook_shows_it(monkeypatch, notebook):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert in_notebook()
    assert not tqdm([1]).disable
    notebook.get_ipython = lambda: SimpleNamespace(config={})  # IPython in a terminal
    assert not in_notebook()
    notebook.get_ipython = lambda: None  # imported, and not running
    assert not in_notebook()
