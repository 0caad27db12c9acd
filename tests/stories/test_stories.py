"""What users come for, as they type it, from the first command to the last, on 2 CPU cores."""

import csv
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.photographs import photograph

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
SMALL = ("data.size=64", "data.batch_size=64", "train.threads=2")  # for a CPU

CORES = 2

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Writes a folder of 1,000 JPEG files of 4 classes, which differ in color, of 256 pixels and more a side."""
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(1000):
        pixels = np.asarray(photograph(number, 256 + number % 64, 320)).copy()
        pixels[..., :3] = pixels // 2 + np.array([(96, 0, 0), (0, 96, 0), (0, 0, 96), (64, 64, 0)])[number % 4]
        path = folder / f"class{number % 4}" / f"{number:04}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path, quality=90)
    return folder


def run(*command, folder):
    """Runs a command in a folder; returns what it printed, and the seconds of processor time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *map(str, command)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_a_folder_of_photographs_becomes_an_encoder_and_a_report(photographs, tmp_path):
    command = (EXAMPLES / "photographs.py", photographs, "--out", "runs/photos", "train.epochs=10", *SMALL)
    printed, seconds = run(*command, folder=tmp_path)
    assert seconds < CORES * 600
    assert "random initialization" in printed
    run_folder = tmp_path / "runs" / "photos"
    assert (run_folder / "backbone.safetensors").exists()
    assert (run_folder / "report" / "index.html").stat().st_size > 10_000


def test_three_methods_are_compared_by_one_command(photographs, tmp_path):
    sweep = (EXAMPLES / "three_methods.yaml", "--data", photographs, "--out", "runs/three")
    run("-m", "sslfast", "sweep", *sweep, "train.epochs=2", *SMALL, folder=tmp_path)
    folder = tmp_path / "runs" / "three"
    _, *rows = csv.reader((folder / "sweep.csv").open())
    assert [row[0] for row in rows] == ["moco_v2", "simclr", "byol"]
    assert (folder / "compare.html").exists()
