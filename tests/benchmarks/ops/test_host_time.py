"""The host's time for small calls: every op that has a plain formula, and both forms alike."""

import json

import pytest
import torch
from torch.utils._pytree import tree_leaves

from sslfast.benchmarks.ops import host_time
from sslfast.kernels.common.op import OPS

WITHOUT_FORMULA = {"adamw_ema_step_", "lars_ema_step_", "sgd_ema_step_", "view_augment"}


def test_every_op_with_a_formula_is_there():
    assert {build.__name__ for build in host_time.FORMS} == OPS.keys() - WITHOUT_FORMULA


@pytest.mark.parametrize("build", host_time.FORMS, ids=lambda build: build.__name__)
def test_both_forms_compute_the_same(build):
    # Each on tensors of its own, as some change them.
    (ours, _, inputs), (_, eager, others) = build(), build()
    for mine, expected in zip(*(tree_leaves(form()) for form in (ours, eager)), strict=True):
        torch.testing.assert_close(mine.flatten(), expected.flatten(), check_dtype=False)
    if inputs:
        gradients = (torch.autograd.grad(form(), to) for form, to in ((ours, inputs), (eager, others)))
        torch.testing.assert_close(*gradients)


def test_the_ratios_are_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(host_time, "ROUNDS", 1)
    monkeypatch.setattr(host_time, "CALLS", 1)
    host_time.main(["--json", str(tmp_path / "host_time.json")])
    results = json.loads((tmp_path / "host_time.json").read_text())["results"]
    assert [r["op"] for r in results] == [build.__name__ for build in host_time.FORMS]
    assert all(r["ratio"] == r["ours"] / r["eager"] > 0 for r in results)
    assert "info_nce" in capsys.readouterr().out
