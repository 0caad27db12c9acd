"""What CI runs: for every change, and in its long form."""

import re
from pathlib import Path

import yaml

from tests.matrix import COMBINATIONS

ROOT = Path(__file__).resolve().parents[1]
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
JOBS = WORKFLOW["jobs"]


def commands(job):
    return [step["run"] for step in JOBS[job]["steps"] if "run" in step]


def test_every_command_exists():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for command in [command for job in JOBS for command in commands(job)]:
        program, *words = command.split()
        assert words[0] in targets if program == "make" else (ROOT / program).is_file(), command


def test_every_change_is_checked():
    assert {"push", "pull_request"} <= WORKFLOW[True].keys()  # YAML 1.1 reads `on` as true
    assert commands("test") == [".ci/run"]
    assert "if" not in JOBS["test"]


def test_the_long_form_has_the_long_tests_and_every_python_and_torch():
    assert "schedule" in WORKFLOW[True]
    assert commands("long") == ["make test-long"]
    pairs = [(pair["python"], pair["torch"]) for pair in JOBS["matrix"]["strategy"]["matrix"]["include"]]
    assert pairs == list(COMBINATIONS)
