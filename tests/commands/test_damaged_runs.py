"""Whatever has become of a run's files, a command does its work or says in one line what is wrong with which."""

import json
import logging
import random
import shutil

import numpy as np
import pytest
from PIL import Image

from sslfast.cli import main
from sslfast.run import checkpoint
from tests.recipes.odd_values import VALUES

SETTINGS = [
    "data.batch_size=8",
    "data.size=16",
    "data.val_fraction=0.2",
    "data.pipeline=resident",
    "encoder.stem=cifar",
    "encoder.width=0.03",
    "method.dim=4",
    "method.hidden=4",
    "method.queue_size=8",
    "optim.warmup_epochs=0",
    "train.epochs=1",
    "train.log_every=1",
    "train.threads=1",
    "train.keep_checkpoints=1",
]
# Of a metrics file. A step is a count, an epoch and all else a number.
LINES = [
    *('{"step": "x", "epoch": 1}', '{"step": 1, "epoch": "x"}', '{"step": 1, "epoch": 1, "loss": "x"}', "[1, 2]"),
    *('{"step": null, "epoch": null}', '{"step": -1, "epoch": 0}', '{"step": 1.5, "epoch": 1}', '{"step": true}'),
    *('{"step": 1, "epoch": 1e400}', '{"step": 1, "epoch": NaN}', '{"step": 1, "epoch": 1, "loss": Infinity}'),
    *(
        '{"step": 1, "epoch": 1, "loss": [1]}',
        '{"step": 1, "epoch": 1, "loss": 1e200, "lr": -1e200}',
        "{}",
        "null",
    ),
    *(f'{{"step": 1{"0" * 400}, "epoch": 1}}', f'{{"step": 1{"0" * 5000}, "epoch": 1}}', "[" * 5000, '"\\ud800"'),
    *('{"step": 1, "epoch": 1, "\\ud800": 1}', '{"step": 1, "epoch": 1, "loss": true}', '{"step": 1, "ep', "\x00"),
]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Makes a folder with images, a run that has ended, and its evaluation."""
    folder = tmp_path_factory.mktemp("original")
    chance = np.random.default_rng(0)
    for name in ("a", "b"):
        (folder / "images" / name).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(chance.integers(0, 255, (16, 16, 3), np.uint8)).save(
                folder / "images" / name / f"{i}.png"
            )
    argv = [f"--data={folder}/images", f"--out={folder}/run"]
    assert main(["pretrain", "moco_v2_shapes", *argv, *SETTINGS]) == 0
    assert main(["evaluate", "knn", f"{folder}/run", f"--data={folder}/images", "k=1"]) == 0
    return folder


@pytest.fixture
def run(original, tmp_path):
    return shutil.copytree(original / "run", tmp_path / "run")


def outcome(capsys, *argv):
    """Returns the exit code of a command and its last line on standard error."""
    code = main([str(word) for word in argv])
    lines = capsys.readouterr().err.splitlines()
    ours = [line for line in lines if line.startswith("sslfast: ")]
    assert (code in (1, 2) and lines[-1:] == ours) or (code == 0 and not ours), argv
    assert all(len(line) < 3000 for line in lines)
    return code, "".join(ours)


def damaged(chance, content, values=()):
    """Changes the content of a file somewhere; returns None for a folder in its place."""
    at, to = sorted(chance.randrange(len(content) + 1) for _ in range(2))
    match chance.randrange(8 if values else 6):
        case 0:
            return content[:at]
        case 1:
            return content[:at] + content[to:]
        case 2:
            return content[:at] + bytes(to - at) + content[to:]
        case 3:
            return content[:at] + chance.randbytes(3) + content[at + 3 :]
        case 4:
            return chance.choice([b"", b"\xff\xfe", b"\x00" * 100, "Größe".encode("latin-1"), None])
        case 5:
            return content[:at] + content[at : at + 1] * 5 + content[at:]
    lines = content.split(b"\n")
    number = chance.randrange(len(lines))
    value = chance.choice(values).encode("utf-8", "surrogateescape")
    key = lines[number].partition(b":")[0]
    lines[number] = chance.choice([value, key + b": " + value, value + b": " + key])
    return b"\n".join(lines)


def put(path, content):
    """Writes the content of a file; None makes a folder in its place."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.mkdir() if content is None else path.write_bytes(content)


def test_resume(original, run, capsys, monkeypatch):
    monkeypatch.setattr("sslfast.train.trainer.write_backbone", lambda *args: None)
    monkeypatch.setattr("sslfast.train.saver.Checkpoints.save", lambda *args: None)
    chance = random.Random(0)
    argv = ["pretrain", "moco_v2_shapes", f"--data={original}/images", f"--out={run}", "--resume", *SETTINGS]
    places = {"config.yaml": VALUES, "metrics.jsonl": LINES, "checkpoints/last.pt": (), "train.log": ()}
    for _ in range(30):
        name = chance.choice(list(places))
        shutil.rmtree(run)
        shutil.copytree(original / "run", run)
        put(run / name, damaged(chance, (run / name).read_bytes(), places[name]))
        code, message = outcome(capsys, *argv)
        assert code == 0 or str(run) in message or "the run was started otherwise" in message, (name, message)


def test_overwrite(original, run, capsys, monkeypatch):
    monkeypatch.setattr(
        "sslfast.train.trainer.Trainer.fit", lambda trainer, interrupt: setattr(trainer, "finished", True)
    )
    chance = random.Random(1)
    argv = ["pretrain", "moco_v2_shapes", f"--data={original}/images", f"--out={run}", "--overwrite", *SETTINGS]
    for _ in range(20):
        shutil.rmtree(run)
        shutil.copytree(original / "run", run)
        put(run / "config.yaml", damaged(chance, (run / "config.yaml").read_bytes(), VALUES))
        put(run / "metrics.jsonl", damaged(chance, (run / "metrics.jsonl").read_bytes(), LINES))
        code, message = outcome(capsys, *argv)
        assert code == 0, message
        assert not (run / "checkpoints").exists()


def test_report(original, run, capsys, monkeypatch):
    monkeypatch.setattr("sslfast.commands.report._image_sections", lambda *args, **options: iter(()))
    chance = random.Random(2)
    (evaluation,) = (run / "evaluation").glob("*.json")
    shutil.rmtree(run / "checkpoints")
    odd = ["null", "-1", '"x"', "[]", "[[1]]", '{"a": 1}', "1e400", "NaN", "[" * 5000, '"\\ud800\\u001b[31m"']
    for _ in range(50):
        path, values = chance.choice(
            [(run / "config.yaml", VALUES), (run / "metrics.jsonl", LINES), (evaluation, odd)]
        )
        content = path.read_bytes()
        put(path, damaged(chance, content, values))
        code, message = outcome(capsys, "report", run)
        assert code == 0 or str(path) in message, message
        put(path, content)


def test_metrics_of_any_kind_are_passed_over_or_drawn(original, run, capsys):
    metrics = run / "metrics.jsonl"
    odd = metrics.read_text() + "\n".join(LINES) + "\n"
    metrics.write_text(odd)
    argv = ["moco_v2_shapes", f"--data={original}/images", f"--out={run}", "--resume", *SETTINGS]
    assert outcome(capsys, "pretrain", *argv)[0] == 0
    shutil.rmtree(run / "checkpoints")
    metrics.write_text(odd)
    assert outcome(capsys, "report", run)[0] == 0


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_the_checkpoint_s_config(original, run, capsys, tmp_path, command):
    """Its container is damaged in `test_resume`; here it holds something else."""
    chance = random.Random(3)
    argv = {
        "evaluate": ["knn", run, f"--data={original}/images", "k=1"],
        "export": [run, "--format", "torchvision", "--out", tmp_path / "a.safetensors"],
    }[command]
    path = run / "checkpoints" / "last.pt"
    state = checkpoint.load(path)
    odd = [None, -1, 0, 1e30, "x", [], {}, [1], {"a": 1}, True, 10**30, "\ud800", float("nan")]
    for _ in range(25):
        state_now = {**state, "config": json.loads(json.dumps(state["config"]))}
        place, keys = state_now, [chance.choice(["config", "method", "step"])]
        while isinstance(below := place[keys[-1]], dict) and chance.random() < 0.8:
            place, keys = below, [*keys, chance.choice(list(below))]
        if keys[0] == "method" and len(keys) > 1:
            state_now["method"] = {**state["method"], keys[-1]: chance.choice(odd)}
        else:
            place[keys[-1]] = chance.choice(odd)
        checkpoint.save(path, state_now)
        code, message = outcome(capsys, command, *argv)
        assert code == 0 or str(run) in message or "this format is of ResNets" in message, (keys, message)


def test_a_run_s_name_is_shown_escaped(original, capsys, tmp_path, monkeypatch):
    run = shutil.copytree(original / "run", tmp_path / "r\x1b[31m\nn")
    (run / "metrics.jsonl").write_text("no line\n")
    for argv in (
        ["pretrain", "moco_v2_shapes", f"--data={original}/images", f"--out={run}"],
        ["pretrain", "moco_v2_shapes", f"--data={original}/images", f"--out={run}", "--resume", *SETTINGS],
        ["evaluate", "knn", run, f"--data={original}/images", "k=1"],
        ["export", run, "--format", "torchvision", "--out", run / "a.safetensors"],
        ["report", run],
    ):
        monkeypatch.setattr(logging.getLogger(), "handlers", [])  # without pytest's: as on the command line
        main([str(word) for word in argv])
        shown = "".join(capsys.readouterr())
        assert "\x1b" not in shown
        assert r"r\x1b[31m\nn" in shown, argv
