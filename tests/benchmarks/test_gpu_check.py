"""The command for machines with a GPU, as far as it can be tried without."""

import importlib.util
import json
import subprocess
import sys

import pytest
import torch
from packaging.utils import canonicalize_name

from sslfast.benchmarks import gpu_check, gpu_pack
from sslfast.benchmarks.gpu_check import Step
from sslfast.extras import EXTRAS
from sslfast.kernels.common.op import OPS

CPU = torch.device("cpu")


def test_every_step_leaves_its_log_and_a_failure_fails_the_check(tmp_path, capsys):
    todo = [
        Step("good", [sys.executable, "-S", "-c", "print('all well')"], 60),
        Step("bad", [sys.executable, "-S", "-c", "raise SystemExit(3)"], 60),
        Step("after", [sys.executable, "-S", "-c", "print('still run')"], 60),
    ]
    assert gpu_check.run_all(todo, tmp_path, CPU) == 1
    assert (tmp_path / "good.log").read_text() == "all well\n"
    assert (tmp_path / "after.log").read_text() == "still run\n"
    content = json.loads((tmp_path / "check.json").read_text())
    assert [step["exit_code"] for step in content["steps"]] == [0, 3, 0]
    assert content["steps"][0]["command"] == todo[0].command
    assert "commit" in content["header"]
    assert "failed (3)" in capsys.readouterr().out
    assert gpu_check.run_all(todo[:1], tmp_path, CPU) == 0


STUBBORN = """
import sys, time
print("some of it", flush=True)
try:
    time.sleep(600)
except KeyboardInterrupt:
    print("the rest of it", flush=True)
    {last}
"""


@pytest.mark.parametrize("last", ["sys.exit(2)", "time.sleep(600)"], ids=["ends", "does not end"])
def test_a_step_beyond_its_limit_is_stopped_and_keeps_its_log(last, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu_check, "GRACE", 1)
    slow = Step("slow", [sys.executable, "-S", "-c", STUBBORN.format(last=last)], limit=6)
    after = Step("after", [sys.executable, "-S", "-c", "print('still run')"], limit=60)
    assert gpu_check.run_all([slow, after], tmp_path, CPU) == 1
    assert (tmp_path / "slow.log").read_text() == "some of it\nthe rest of it\n"
    assert (tmp_path / "after.log").read_text() == "still run\n"
    content = json.loads((tmp_path / "check.json").read_text())
    assert [step["exit_code"] for step in content["steps"]] == [gpu_check.STOPPED, 0]
    assert "stopped, see" in capsys.readouterr().out


def test_when_the_time_is_over_nothing_more_is_run(tmp_path, capsys):
    step = Step("late", [sys.executable, "-S", "-c", "print('run')"], limit=60)
    assert gpu_check.run_all([step], tmp_path, CPU, seconds=0) == 1
    assert not (tmp_path / "late.log").exists()
    assert json.loads((tmp_path / "check.json").read_text())["steps"][0]["exit_code"] is None
    assert "not run: no time is left" in capsys.readouterr().out


def test_a_second_call_goes_on_with_what_has_not_come_to_its_end(tmp_path, capsys):
    def step(name, code=0, **kwargs):
        return Step(name, [sys.executable, "-S", "-c", f"raise SystemExit({code})"], 60, **kwargs)

    todo = [step("good"), step("bad", 3), step("build", every_time=True), step("late")]
    assert gpu_check.run_all(todo[:3], tmp_path, CPU) == 1
    for name in ("good", "bad", "build"):
        (tmp_path / f"{name}.log").unlink()
    assert gpu_check.run_all(todo, tmp_path, CPU) == 1  # what failed has still failed
    assert sorted(path.name for path in tmp_path.glob("*.log")) == ["build.log", "late.log"]
    assert "bad: an earlier call did it, exit code 3" in capsys.readouterr().out
    steps = json.loads((tmp_path / "check.json").read_text())["steps"]
    assert {step["name"]: step["exit_code"] for step in steps} == {"good": 0, "bad": 3, "build": 0, "late": 0}


def test_a_step_without_an_end_and_steps_of_other_sources_are_run_again(tmp_path, monkeypatch):
    step = Step("once", [sys.executable, "-S", "-c", "print('run')"], 60)
    log = tmp_path / "once.log"
    assert gpu_check.run_all([step], tmp_path, CPU, seconds=0) == 1
    assert gpu_check.run_all([step], tmp_path, CPU) == 0
    assert log.read_text() == "run\n"
    log.unlink()
    monkeypatch.setattr(gpu_check, "sources", lambda: "others")
    assert gpu_check.run_all([step], tmp_path, CPU) == 0
    assert log.exists()


def test_the_digest_is_of_what_is_run(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_check, "HERE", tmp_path)
    (tmp_path / "csrc" / "cpu").mkdir(parents=True)
    digests = [gpu_check.sources()]
    for name, text in (("setup.py", "a"), ("csrc/cpu/info_nce.cpp", "b"), ("setup.py", "c"), ("README.md", "d")):
        (tmp_path / name).write_text(text)
        digests.append(gpu_check.sources())
    assert len(set(digests[:4])) == 4
    assert digests[4] == digests[3]


def test_what_is_run(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_check.shutil, "which", lambda name: f"/bin/{name}")
    whole = {step.name: step for step in gpu_check.steps(tmp_path, dry_run=False)}
    names = list(whole)
    assert names[:4] == ["build", "info", "tests", "bench-info_nce"]
    assert names[-7:] == ["others", "train-simclr", "train-byol", "train-swav", "views", "memcheck", "racecheck"]
    benched = [name.removeprefix("bench-") for name in names if name.startswith("bench-")]
    assert sorted(benched) == sorted(op.strip("_") for op in OPS)
    assert names.index("bench-aligned_pooling") < names.index("train-moco_v2") < names.index("bench-sup_con")
    assert "not emulator and not launcher" in whole["tests"].command[-1]  # these compile, and need no GPU
    # What may not end stops nothing but itself.
    assert names.index("bench-aligned_pooling") < names.index("tma") < names.index("tma-times")
    assert [
        name for name in names if "-k" in whole[name].command and "not triton_tma" not in whole[name].command[-1]
    ] == ["tma"]
    dry = gpu_check.steps(tmp_path, dry_run=True)
    assert [step.name for step in dry] == ["build", "info", "tests", "bench-enqueue"]
    assert str(tmp_path / "ops") in whole["bench-info_nce"].command
    assert str(tmp_path / "views.json") in whole["views"].command
    trained = [step for name, step in whole.items() if name.startswith("train-")]
    assert [step.command[-1] for step in trained] == list(gpu_check.TRAINED)
    assert all(str(tmp_path / "train.json") in step.command for step in trained)


def test_the_build_is_for_the_gpus_that_are_there(tmp_path, monkeypatch):
    def build():
        return gpu_check.steps(tmp_path, dry_run=False)[0].command

    monkeypatch.delenv("TORCH_CUDA_ARCH_LIST", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda number: (9, 0) if number < 2 else (8, 6))
    assert build()[:3] == ["env", "TORCH_CUDA_ARCH_LIST=8.6;9.0", sys.executable]
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "10.0")
    assert build()[0] == sys.executable
    monkeypatch.delenv("TORCH_CUDA_ARCH_LIST")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert build()[0] == sys.executable


def test_the_dry_run_leaves_its_record(tmp_path, monkeypatch):
    def steps(results, *, dry_run):
        assert dry_run
        return [Step("info", [sys.executable, "-S", "-c", "print('a CPU')"], 60)]

    monkeypatch.setattr(gpu_check, "steps", steps)
    assert gpu_check.main(["--dry-run", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "info.log").read_text() == "a CPU\n"
    header = json.loads((tmp_path / "check.json").read_text())["header"]
    assert header["sources"] == gpu_check.sources()
    assert "GPU" not in header


def test_what_is_run_is_there(tmp_path):
    """The paths of tests exist, and so do the modules that are run as programs."""
    assert [path for path in gpu_check.KERNELS if not (gpu_check.HERE / path).exists()] == []
    commands = [step.command for step in gpu_check.steps(tmp_path, dry_run=False)]
    modules = {command[command.index("-m") + 1] for command in commands if "-m" in command}
    assert {"sslfast.benchmarks.train.bench", "sslfast.benchmarks.views.bench"} < modules
    assert [module for module in modules if importlib.util.find_spec(module) is None] == []


COLLECT = """
import sys, pytest
sys.modules.update(dict.fromkeys({missing}))  # a module that is None cannot be imported
sys.exit(pytest.main([*{arguments}, "--collect-only", "-p", "no:cacheprovider"]))
"""


def test_tests_for_a_gpu_are_found_where_packages_are_missing(tmp_path):
    """In the files that have some; DALI is among the packages that `make gpu-pack` leaves out."""
    packed = gpu_pack.needed(gpu_pack.ROOTS, (), "3.12")
    modules = {name: package for of in EXTRAS.values() for name, package in of.items()}
    missing = [name for name, package in modules.items() if canonicalize_name(package) not in packed]
    assert "nvidia.dali" in missing
    command = next(step.command for step in gpu_check.steps(tmp_path, dry_run=False) if step.name == "others")
    arguments = command[command.index("pytest") + 1 : command.index("--numprocesses")]
    files = [gpu_check.HERE / argument for argument in arguments if argument.endswith(".py")]
    assert files
    assert all(path.exists() and "gpu" in path.read_text() for path in files)
    script = COLLECT.format(missing=missing, arguments=arguments)
    found = subprocess.run([sys.executable, "-c", script], cwd=gpu_check.HERE, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    for test in ("methods/test_contract.py::test_a_step_never_waits_for_a_gpu", "train/test_guard.py::test_no_"):
        assert f"tests/{test}" in found.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="machines without a GPU only")
def test_without_a_gpu_it_says_how_to_try_it(capsys):
    assert gpu_check.main([]) == 2
    assert "--dry-run" in capsys.readouterr().err
