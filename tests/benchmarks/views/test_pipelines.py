"""The input pipelines: all give the same kind of batch."""

import contextlib
import itertools

import pytest
import torch

pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed")

from sslfast.benchmarks.views import bench
from tests.data.photographs import photographs

CPU = torch.device("cpu")


def test_every_pipeline_gives_normalized_views(tmp_path, short):
    for case, size in zip(bench.cases(photographs(tmp_path)), (224, 32), strict=True):
        for name, pipeline in case.pipelines.items():
            with contextlib.closing(pipeline(case.source, case.data, CPU)) as batches:
                for views in itertools.islice(batches, 6):  # over the end of an epoch
                    assert len(views) == 2, name
                    for view in views:
                        assert view.shape == (4, 3, size, size), name
                        assert view.dtype == torch.float32, name
                        assert -3 < view.min() < view.max() < 3, name
