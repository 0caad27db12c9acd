"""Pictures of features in two dimensions."""

from pathlib import Path

import numpy as np

from sslfast.report.embedding import draw_embedding


def test_embedding_of_many_classes_and_of_too_few_images(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    path = tmp_path / "embedding.png"
    assert draw_embedding(x, np.arange(60) % 30, [f"class {i}" for i in range(30)], path) == path
    assert path.exists()
    assert draw_embedding(x[:9], None, [], tmp_path / "none.png") is None
    assert not (tmp_path / "none.png").exists()
