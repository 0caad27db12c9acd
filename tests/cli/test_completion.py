"""The shell's completion: what it is answered, as argcomplete asks."""

import os
import subprocess
import sys

import pytest


def answers(line, folder, *options):
    """Lists the words that may follow."""
    out = folder / "answers"
    asked = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(out), "_ARGCOMPLETE_IFS": "\n"}
    asked |= {"COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_SUPPRESS_SPACE": "1"}
    code = "import sys; from sslfast.cli import main; main()"
    command = [sys.executable, *options, "-c", code]
    done = subprocess.run(command, cwd=folder, env=os.environ | asked, capture_output=True, text=True, check=False)
    return (out.read_text().split("\n") if out.exists() else []), done.stderr


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("sslfast pre", {"pretrain"}),
        ("sslfast pretrain moco_v2", {"moco_v2", "moco_v2_cifar10", "moco_v2_imagenet", "moco_v2_shapes"}),
        ("sslfast views byol_mncl", {"byol_mncl_cifar10"}),
        ("sslfast pretrain --over", {"--overwrite"}),
        ("sslfast evaluate lin", {"linear"}),
        ("sslfast embed runs/pho", {"runs/photos/"}),
    ],
)
def test_it_answers(tmp_path, line, some):
    pytest.importorskip("argcomplete")
    (tmp_path / "runs" / "photos").mkdir(parents=True)
    found, _ = answers(line, tmp_path)
    assert some <= set(found)
    assert all(word.startswith(line.split()[-1]) for word in found)


def test_recipes_are_named_without_torch():
    """It takes seconds to import, for which nobody waits at a TAB."""
    code = "import sys; from sslfast.cli.completion import recipe_names as f; print(f(), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'moco_v2_cifar10'" in done.stdout
    assert done.stdout.rstrip().endswith("False")


def test_without_argcomplete_a_sentence_says_what_is_missing(tmp_path):
    (tmp_path / "argcomplete.py").write_text("raise ModuleNotFoundError(name='argcomplete')")
    found, error = answers("sslfast pre", tmp_path)
    assert not found
    assert 'needs argcomplete: pip install "sslfast[completion]"' in error
