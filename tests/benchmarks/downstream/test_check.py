"""`make downstream-check`: its commands are ones that the command line takes, and its record grows by results."""

import json
import shlex

import pytest

from sslfast import cli
from sslfast.benchmarks.downstream import check
from sslfast.benchmarks.downstream.commands import COMMANDS, EVALUATE, PRETRAIN, SUPERVISED, UNTRAINED
from sslfast.config.settings import apply_overrides
from sslfast.config.validation import validate
from sslfast.evaluation.protocols import PROTOCOLS
from sslfast.evaluation.result import Evaluation
from sslfast.recipes.load import load_recipe


@pytest.fixture
def named(tmp_path):
    return check.places(tmp_path / "data", tmp_path / "runs")


@pytest.mark.parametrize("command", [PRETRAIN, SUPERVISED])
def test_the_encoders_are_pre_trained_by_recipes_that_there_are(command, named):
    args = cli.parse(shlex.split(command.format(**named))[1:])
    assert load_recipe(args.recipe, args.overrides, data=args.data).train.epochs == 8


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one_of_a_protocol_with_its_settings(command, named):
    args = cli.parse(shlex.split(command.format(**named))[1:])
    config = PROTOCOLS[args.protocol].config
    validate(config, apply_overrides(config, {}, args.overrides), origin=command)


def test_every_protocol_is_there():
    assert {command.split()[2] for command in EVALUATE} == PROTOCOLS.keys() == check.MEASURES.keys()


@pytest.fixture
def judged(monkeypatch):
    """Collects the command lines that ran, in place of which results of given measures are written."""
    ran, measures = [], {"pre-trained": 0.5, "random initialization": 0.3, "supervised": 0.6}

    def run(argv):
        ran.append(argv[0])
        if argv[0] == "pretrain":
            return 0
        args = cli.parse(argv)
        rows = [
            {"encoder": encoder, "seed": 0, check.MEASURES[args.protocol]: value, "confusion": []}
            for encoder, value in (dict.fromkeys(measures, 0.1) if "lr=1e-6" in argv else measures).items()
        ]
        options = {"settings": args.overrides}
        Evaluation(
            args.protocol, args.encoder, "d", None, options, 8, 4, 3, None, rows, command=args.command, seconds=6.0
        ).save(check.Path(args.encoder) / "evaluation")
        return 0

    monkeypatch.setattr(check, "run", run)
    monkeypatch.setattr(check, "write_objects", lambda archive, folder: None)
    return ran, measures


def test_results_are_recorded_once_with_their_commands(judged, tmp_path):
    arguments = ["--data", "data", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "a.json")]
    assert check.main(arguments) == 0
    record = json.loads((tmp_path / "a.json").read_text())
    assert [entry["command"] for entry in record["results"]] == list(COMMANDS)
    assert "confusion" not in record["results"][0]["rows"][0]
    assert check.best(record["results"][0], "supervised") == 0.6
    assert judged[0].count("evaluate") == len(COMMANDS)
    assert check.main(arguments) == 0  # what is there is not judged again
    assert judged[0].count("evaluate") == len(COMMANDS)


def test_an_encoder_that_is_not_above_random_weights_is_named(judged, tmp_path, capsys):
    """But not of objects, where the networks are to be above those before training, which 0.1 are."""
    judged[1]["pre-trained"] = 0.3
    assert check.main(["--runs", str(tmp_path), "--out", str(tmp_path / "a.json")]) == 1
    out = capsys.readouterr().out
    assert out.count("not above random weights: sslfast evaluate ") == len(EVALUATE) - len(UNTRAINED)
    assert "before training" not in out


def test_a_network_that_is_not_above_its_untrained_start_is_named(judged, tmp_path, capsys):
    judged[1]["supervised"] = 0.1
    assert check.main(["--runs", str(tmp_path), "--out", str(tmp_path / "a.json")]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("not above")]
    assert [line.split(": sslfast evaluate ")[0] for line in lines] == [
        "not above the network before training"
    ] * 2
