"""The lock file names the files of every package by their hashes: pip takes no others."""

import re
from pathlib import Path

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"


def test_every_version_has_hashes():
    entries = re.split(r"\n(?! )", LOCK.read_text().rstrip("\n"))
    assert len(entries) > 100
    for entry in entries:
        pin, *hashes = (line.strip(" \\") for line in entry.split("\n"))
        assert re.match(r"[\w.-]+==[\w.]+( ; .+)?$", pin), pin
        assert hashes, pin
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line) for line in hashes), pin
