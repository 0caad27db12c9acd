"""The choice of a device, and copies to it."""

import numpy as np
import pytest
import torch

from sslfast.device import choose_device, choose_precision, device_type, to_device
from sslfast.errors import UsageError

CPU = torch.device("cpu")


def test_auto_is_a_gpu_where_there_is_one(monkeypatch):
    for available, kind in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert choose_device("auto") == torch.device(kind)
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize("name", ["meta", "mps"])
def test_a_device_without_kernels_is_refused(name):
    with pytest.raises(UsageError, match=f"device '{name}': kernels and data pipelines have no form for it"):
        choose_device(name)


def test_no_device_at_all_is_one_sentence():
    with pytest.raises(UsageError, match="device 'gpu': .*use auto, cpu or cuda") as refusal:
        choose_device("gpu")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("found", "precision"), [({}, "fp32"), ({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16")]
)
def test_auto_is_bf16_on_a_gpu_and_on_a_cpu_that_has_it(monkeypatch, found, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, **found}, raising=False)
    assert choose_precision("auto", "cpu") == precision
    assert choose_precision("auto", "cuda") == "bf16"
    assert [choose_precision(name, "cpu") for name in ("fp32", "bf16")] == ["fp32", "bf16"]


@pytest.mark.parametrize(("capable", "precision"), [(True, "bf16"), (False, "fp32")])
def test_auto_with_a_torch_that_does_not_list_capabilities(monkeypatch, capable, precision):
    """As 2.10 does not."""
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: capable)
    assert choose_precision("auto", "cpu") == precision


@pytest.mark.parametrize(("capable", "precision"), [(True, "bf16"), (False, "fp16")])
def test_auto_is_fp16_on_a_gpu_without_bf16(monkeypatch, capable, precision):
    """One that only emulates it is one without."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda *, including_emulation: including_emulation or capable
    )
    assert choose_precision("auto", "cuda") == precision
    assert choose_precision("bf16", "cuda") == "bf16"


def test_the_type_of_a_device_needs_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [device_type(name) for name in ("auto", "cpu", "cuda", "cuda:1")] == ["cpu", "cpu", "cuda", "cuda"]


def test_arrays_of_any_strides_are_copied():
    array = np.arange(12).reshape(3, 4)[:, ::2]
    assert torch.equal(to_device(array, CPU), torch.tensor([[0, 2], [4, 6], [8, 10]]))
