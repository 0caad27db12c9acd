"""Runs that a scheduler stops and queues again, and that torchrun starts anew: they end as if left alone.

The script is that of docs/scaling.md, run by bash; the scheduler's commands stand in for SLURM's.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch.distributed as dist

from tests.train.lost_ranks import write_images
from tests.train.runs import assert_same, lines, state

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo"),
]

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
SETTINGS = [
    *("train.epochs=60", "train.log_every=1", "train.knn_every=0", "train.threads=1", "train.precision=fp32"),
    *("data.batch_size=8", "data.size=8", "data.pipeline=resident", "optim.warmup_epochs=0"),
    *("encoder.stem=cifar", "encoder.width=0.03", "method.dim=4", "method.hidden=4"),
]
STEPS = 120
COMMANDS = {
    # Two tasks of a job; as SLURM's, it ends with the largest of their exit codes.
    "srun": """
        for task in 0 1; do
          SLURM_PROCID=$task SLURM_LOCALID=$task SLURM_NTASKS=2 "$@" &
          tasks[$task]=$!
        done
        code=0
        for task in "${tasks[@]}"; do
          wait "$task"; ended=$?
          (( ended > code )) && code=$ended
        done
        exit $code
    """,
    "scontrol": """
        if [ "$1" = requeue ]; then echo "$2" >> "$NOTES/requeued"; else echo 127.0.0.1; fi
    """,
    # What it becomes has this process number.
    "sslfast": f"""
        echo $$ > "$NOTES/$RANK.new" && mv "$NOTES/$RANK.new" "$NOTES/$RANK"
        exec {sys.executable} -m sslfast "$@"
    """,
}


class Machine:
    """A folder with the commands, the images and runs.

    Args:
        folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.notes = folder, folder / "notes"
        self.notes.mkdir()
        write_images(folder / "images")
        for name, text in COMMANDS.items():
            command = folder / "bin" / name
            command.parent.mkdir(exist_ok=True)
            command.write_text(f"#!/bin/bash\n{text}")
            command.chmod(0o755)

    def start(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        return subprocess.Popen(command, env={**os.environ, "PATH": path, "NOTES": str(self.notes), **environment})

    def job(self, run: str) -> subprocess.Popen[bytes]:
        """Starts the job of the page, with a run of ours in the place of its own."""
        (script,) = re.findall(r"```bash\n(#!/bin/bash\n#SBATCH.*?)```", PAGE.read_text(), re.DOTALL)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        for theirs, ours in {
            "--data photographs/": f"--data {self.folder}/images",
            "/shared/runs/photos": f"{self.folder}/{run} {' '.join(SETTINGS)}",
            "MASTER_PORT=29500": f"MASTER_PORT={port}",
        }.items():
            assert script.count(theirs) == 1
            script = script.replace(theirs, ours)
        return self.start("bash", "-c", script, SLURM_JOB_ID="7", SLURM_JOB_NODELIST="this")

    def wait_for_step(self, run: str, step: int, process: subprocess.Popen[bytes]) -> None:
        metrics, until = self.folder / run / "metrics.jsonl", time.monotonic() + 300
        while not metrics.exists() or metrics.read_text().count("\n") < step:
            assert process.poll() is None, "it has ended"
            assert time.monotonic() < until, "no step"
            time.sleep(0.02)

    def signal(self, rank: int, number: signal.Signals) -> None:
        os.kill(int((self.notes / str(rank)).read_text()), number)

    def requeued(self) -> int:
        """Counts how often the job was queued again."""
        notes = self.notes / "requeued"
        return notes.read_text().split().count("7") if notes.exists() else 0


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """Makes a machine with a run, `whole`, that nobody has disturbed."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    assert machine.job("whole").wait() == 0
    assert machine.requeued() == 0
    return machine


def check(machine, run):
    """Asserts that the run is the undisturbed one, to the bit, and left as much."""
    assert_same(state(machine.folder / run), state(machine.folder / "whole"))
    assert [line["step"] for line in lines(machine.folder / run)] == list(range(1, STEPS + 1))
    backbones = [(machine.folder / name / "backbone.safetensors").read_bytes() for name in (run, "whole")]
    assert backbones[0] == backbones[1]
    assert not list((machine.folder / run).rglob("*.tmp"))


def test_a_scheduler_stops_it_and_queues_it_again(machine):
    """Once all tasks get a signal, before the time is up; once one task does."""
    job = machine.job("queued")
    machine.wait_for_step("queued", 10, job)
    for rank in range(2):
        machine.signal(rank, signal.SIGUSR1)
    assert (job.wait(), machine.requeued()) == (143, 1)
    stopped = state(machine.folder / "queued")["step"]
    assert 10 <= stopped < STEPS

    job = machine.job("queued")
    machine.wait_for_step("queued", stopped + 10, job)
    machine.signal(1, signal.SIGTERM)
    assert (job.wait(), machine.requeued()) == (143, 2)

    assert (machine.job("queued").wait(), machine.requeued()) == (0, 2)
    check(machine, "queued")


def test_torchrun_starts_it_anew(machine):
    """After a rank was killed; the other ranks end, and all go on from the latest checkpoint."""
    launch = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "--max-restarts=1",
        "--no-python",
    ]
    run = [
        "sslfast",
        "pretrain",
        "simclr",
        f"--data={machine.folder}/images",
        f"--out={machine.folder}/elastic",
        "--resume",
    ]
    launched = machine.start(*(sys.executable, *launch, *run, *SETTINGS), TORCH_DISABLE_SHARE_RDZV_TCP_STORE="1")
    machine.wait_for_step("elastic", 10, launched)
    machine.signal(1, signal.SIGKILL)
    assert launched.wait() == 0
    check(machine, "elastic")
