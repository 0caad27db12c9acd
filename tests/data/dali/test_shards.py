"""Images in WebDataset shards, whose contents DALI is given: the batches of a folder of them, to the bit."""

import pytest

pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed")

import torch

from sslfast.data import open_source
from sslfast.data.dali.evaluation import dali_crops
from tests.data.photographs import CPU, assert_equal_batches, loader, photographs
from tests.data.sources.archives import write_archive


def sources(tmp_path, damage=None):
    """Writes the same photographs as files and in shards; the fourth may be damaged."""
    (tmp_path / "files").mkdir()
    files = photographs(tmp_path / "files")
    if damage:
        files.paths[3].write_bytes(damage(files.paths[3].read_bytes()))
    contents = [path.read_bytes() for path in files.paths]
    half = len(contents) // 2
    for shard, part in enumerate((contents[:half], contents[half:])):
        write_archive(
            tmp_path / "shards" / f"{shard}.tar", {f"{i:04}.jpg": content for i, content in enumerate(part)}
        )
    shards = open_source(tmp_path / "shards", max_bad=0.5)
    files.bad.max_share = 0.5
    return files, shards


@pytest.mark.parametrize("decodes_only", [True, False])
def test_batches_are_those_of_files(tmp_path, decodes_only):
    files, shards = sources(tmp_path)
    expected = list(loader(files, decodes_only=decodes_only).epoch(1))
    assert_equal_batches(list(loader(shards, decodes_only=decodes_only).epoch(1)), expected)


DAMAGES = {
    "cut short": lambda content: content[: len(content) // 2],
    "zeros before its end": lambda content: content[:600] + bytes(len(content) - 602) + content[-2:],
    "nothing": lambda _: b"",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_one_is_treated_as_among_files(tmp_path, damage):
    files, shards = sources(tmp_path, DAMAGES[damage])
    assert_equal_batches(list(loader(shards).epoch(0)), list(loader(files).epoch(0)))
    assert [shards.paths.index(path) for path in shards.bad.reasons] == [
        files.paths.index(path) for path in files.bad.reasons
    ]
    assert shards.bad or damage == "zeros before its end"


def test_crops_of_an_evaluation_are_those_of_files(tmp_path):
    files, shards = sources(tmp_path)
    for (ours, index), (theirs, other) in zip(
        *(dali_crops(source, 16, 4, CPU, threads=1, prefetch=1) for source in (shards, files)), strict=True
    ):
        assert torch.equal(ours, theirs)
        assert torch.equal(index, other)
