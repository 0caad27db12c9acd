"""Whatever stands in a checkpoint, a run goes on from it or one sentence names the file and the key at fault."""

import copy
import random

import pytest
import torch
from torch import Tensor

from sslfast.data import open_data
from sslfast.errors import UsageError
from sslfast.run.checkpoint import load
from sslfast.run.directory import RunDirectory
from sslfast.train.trainer import Trainer
from tests.methods.runs import small_recipe

METHODS = ["deepcluster", "instdisc", "pcl"]  # with clusters, a memory bank, a queue
CASES = 80  # of each


class Run:
    """A run of one step, and what its checkpoint holds."""

    def __init__(self, name, folder):
        recipe = small_recipe(name, "train.threads=1")
        self.trainer = Trainer(recipe, RunDirectory(folder), open_data(recipe.data))
        self.trainer.method.start_epoch(0, self.trainer.embed)
        self.step()
        self.trainer.saver.save()
        self.path = self.trainer.saver.checkpoints.last
        self.state = load(self.path)

    def step(self):
        self.trainer.train_step(next(iter(self.trainer.loader.epoch(0))))

    def resume(self, state, monkeypatch):
        """Returns the sentence that refuses a state; "" where the run went on from it, by a step."""
        monkeypatch.setattr(self.trainer.saver.checkpoints, "latest", lambda: (self.path, state))
        try:
            self.trainer.resume()
        except UsageError as error:
            return str(error)
        self.step()
        return ""


@pytest.fixture(scope="module", params=METHODS)
def run(request, tmp_path_factory):
    return Run(request.param, tmp_path_factory.mktemp(request.param))


def places(value, path=()):
    """Yields the paths of all that a state holds."""
    items = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    )
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def changed(value, path, change):
    """Copies a state with a change, which takes and gives a value, at a path."""
    head, *rest = path
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[head] = changed(copied[head], rest, change) if rest else change(copied[head])
    return tuple(copied) if isinstance(value, tuple) else copied


PLAIN = [
    None,
    True,
    -1,
    0,
    1,
    10**6,
    2**63,
    -(2**70),
    1e308,
    float("nan"),
    float("-inf"),
    "x",
    [],
    {},
    [[1]],
    {1: 2},
]
TENSORS = {
    "below": lambda t: torch.full_like(t, -100),
    "above": lambda t: torch.full_like(t, 120),
    "nan": lambda t: torch.full_like(t, torch.nan) if t.is_floating_point() else t,
    "another shape": lambda t: torch.cat([t.reshape(-1), t.reshape(-1)[:1]]),
    "empty": lambda t: t.reshape(-1)[:0],
    "another dtype": lambda t: t.int() if t.is_floating_point() else t.double(),
    "complex": lambda t: t.to(torch.complex64),
    "sparse": lambda t: t.to_sparse(),
}


def test_any_state(run, monkeypatch):
    chance = random.Random(0)
    by_part = {part: [path for path in places(run.state) if path[0] == part] for part in run.state}
    for _ in range(CASES):
        path = chance.choice(by_part[chance.choice(list(by_part))])
        kind = chance.choice(list(TENSORS))

        def change(value, kind=kind):
            tensor = isinstance(value, Tensor) and chance.random() < 0.8
            return TENSORS[kind](value) if tensor else copy.deepcopy(chance.choice(PLAIN))

        said = run.resume(changed(run.state, path, change), monkeypatch)
        assert "\n" not in said, path
        assert len(said) < 600, path


def test_any_part_missing(run, monkeypatch):
    chance = random.Random(1)
    mappings = [path for path in places(run.state) if isinstance(path[-1], str) and path[0] != "config"]
    for path in chance.sample(mappings, 30):
        state = run.state
        if len(path) == 1:
            state = {key: value for key, value in state.items() if key != path[0]}
        else:
            state = changed(
                state, path[:-1], lambda value, key=path[-1]: {k: v for k, v in value.items() if k != key}
            )
        said = run.resume(state, monkeypatch)
        assert path[0] in ("optimizer", "initial_knn") or (str(run.path) in said and path[-1] in said), path


KEYS = {
    "deepcluster": {
        "method.labels": ("labels: expected 0 to 7, got -100", "below"),
        "method.weights": ("weights: expected 0 to inf, got -100.0", "below"),
        "method.encoder.bn1.running_var": ("running_var: expected 0 to inf, got -100.0", "below"),
        "guard.in_a_row": ("in_a_row: expected a count, got -100", "below"),
        "guard.total": ("total: expected torch.int64 of shape (), got torch.float64", "another dtype"),
    },
    "instdisc": {
        "method.bank.rows": ("rows: holds numbers that are not finite", "nan"),
        "rng.numpy.state.key": ("key: expected words of 32 bits", "below"),
        "rng.torch": ("torch: expected torch.uint8 of shape", "empty"),
    },
    "pcl": {
        "method.queue.pointer": ("pointer: expected 0 to 31, got -100", "below"),
        "method.queue.filled": ("filled: expected 0 to 32, got 120", "above"),
        "method.prototypes.assignments": ("assignments: expected 0 to 7, got 120", "above"),
        "optimizer.state.0.momentum_buffer": ("momentum_buffer: expected torch.float32 of shape", "another shape"),
    },
}


def test_what_would_index_memory_is_refused_by_name(run, monkeypatch):
    """A pointer of -100 was written to, 100 rows before the queue."""
    name = run.trainer.recipe.method.name
    for key, (message, kind) in KEYS[name].items():
        path = next(path for path in places(run.state) if ".".join(map(str, path)) == key)
        said = run.resume(changed(run.state, path, TENSORS[kind]), monkeypatch)
        assert f"the checkpoint {run.path} does not fit {name} ({key.partition('.')[0]}" in said
        assert message in said


PLAIN_KEYS = [
    (("step",), 10**9, "step: expected at most 8, got 1000000000"),
    (("step",), "x", "step: expected int, got 'x'"),
    (("step",), -1, "step: expected a count, got -1"),
    (("rng", "numpy", "state", "pos"), 10**6, "rng.numpy.state.pos: expected 0 to 624, got 1000000"),
    (("rng", "python", 1), (0,) * 624 + (10**6,), "rng: not the state of a generator"),
    (("optimizer", "param_groups", 0, "momentum"), 2.0, "momentum: expected 0.9, got 2.0"),
    (("initial_knn",), "x", "initial_knn: expected float, got 'x'"),
]


def test_plain_values_are_refused_by_name(run, monkeypatch):
    for path, value, message in PLAIN_KEYS:
        assert message in run.resume(changed(run.state, path, lambda _, value=value: value), monkeypatch)


def test_the_state_itself_is_taken(run, monkeypatch):
    assert run.resume(run.state, monkeypatch) == ""
