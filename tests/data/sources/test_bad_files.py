"""The record of unreadable files: its limit, and what it says."""

import logging
from pathlib import Path

import pytest

from sslfast.data import open_source
from sslfast.data.sources.bad_files import BadFiles
from sslfast.errors import UsageError


def test_a_file_is_named_and_counted_once(caplog):
    bad = BadFiles("set", total=10, max_share=0.1)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            bad.add(Path("a.png"), "empty")
    assert len(bad) == 1
    (record,) = caplog.records
    assert record.getMessage() == "skipped a.png, unreadable file 1 among 10 images: empty"
    with pytest.raises(UsageError, match=r"set: 2 of 10 images cannot be read, more than max_bad=0.1 .*b.png"):
        bad.add(Path("b.png"), "empty")


def test_stop_raises_at_the_first():
    bad = BadFiles("set", total=10, max_share=1, on_error="stop")
    with pytest.raises(UsageError, match="set: cannot read a.png .empty.*on_error=skip"):
        bad.add(Path("a.png"), "empty")


def test_max_bad_counts_against_the_limited_set(make_folder):
    source = open_source(str(make_folder(per_class=10)), limit=4, max_bad=0.25)
    assert (source.bad.total, source.bad.max_share) == (4, 0.25)
