"""Folders that are the splits of a data set, told by their names from folders that are classes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from itertools import pairwise

WORDS = {
    "train": "train training trainval trn",
    "val": "val valid validation minival dev development",
    "test": "test testing tst eval evaluation holdout heldout",
    "labeled": "labeled labeled",
    "unlabeled": "unlabeled unlabeled",
    "extra": "extra",
    "predict": "pred predict prediction",
    "query": "query",
    "gallery": "gallery",
}
KINDS = {word: kind for kind, words in WORDS.items() for word in words.split()}
FILLERS = {"data", "dataset", "set", "split", "subset", "image", "images", "img", "imgs", "and", "to"}
GLUED = re.compile("(?:data|images?|imgs?|sets?|splits?)$")  # trainset, testdata


def split_folders(names: Collection[str]) -> list[str]:
    """Lists the folders that hold a data set's splits rather than its classes; none where they are classes.

    A folder may hold a split if a word of its name says so, whatever the case: train, Training, seg_train,
    train2017, imagenet-val, testset, trainA; but test_tube as well. What else is in the names tells the two apart:
    splits of one data set share it (seg_train, seg_test) or have more of it step by step (val_large,
    train_large_places), classes do not (training_shoes, test_tube). The folders are splits if those of more than
    one kind are most of all folders, or if all are parts of one kind (train_0, train_1).

    Args:
        names: of the folders that hold the images, side by side.

    Returns:
        Those that are splits, in order.
    """
    found = {name: parsed for name in names if (parsed := _parse(name))}
    kinds = {kind for kind, _ in found.values()}
    if len(kinds) > 1:
        are_splits = len(found) > len(names) / 2 and _related(found.values())
    else:
        are_splits = len(found) == len(names) > 1 and not any(others for _, others in found.values())
    return [name for name in names if name in found] if are_splits else []


def kind_of(name: str) -> str | None:
    """Returns the kind of split that a folder's name tells, a key of WORDS; None where it tells none."""
    parsed = _parse(name)
    return parsed and parsed[0]


def _parse(name: str) -> tuple[str, frozenset[str]] | None:
    """Reads the kind of split that a folder's name tells, and its other words; None where it tells none."""
    words = re.findall("[a-z]+", re.sub("(?<=[a-z])(?=[A-Z])", " ", name).lower())
    parts = [word if word in KINDS else GLUED.sub("", word) for word in words]
    kinds = [KINDS[part] for part in parts if part in KINDS]
    others = (part for part in parts if part not in KINDS and part not in FILLERS and len(part) > 1)
    return (kinds[0], frozenset(others)) if kinds else None


def _related(found: Collection[tuple[str, frozenset[str]]]) -> bool:
    """Tells whether the other words are of one data set, or of several with more than one kind of split each."""
    kinds_of = defaultdict(set)
    for kind, others in found:
        kinds_of[others].add(kind)
    in_steps = sorted(kinds_of, key=len)
    nested = all(less <= more for less, more in pairwise(in_steps))
    return nested or all(len(kinds) > 1 for kinds in kinds_of.values())
