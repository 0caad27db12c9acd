"""The splits of a data set, by their names."""

from __future__ import annotations

from typing import NamedTuple

from sslfast.errors import UsageError
from sslfast.hints import nearest


class Splits(NamedTuple):
    """The splits of a data set, by their own names: torchvision's, or those of folders.

    Attributes:
        train: the split that the data set's bare name stands for; None: the data set has one part only, or, of
            folders, none or several for training.
        test: the labeled split to test on; None: there is none.
        others: further splits.
    """

    train: str | None = "train"
    test: str | None = "test"
    others: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        return [name for name in (self.train, self.test, *self.others) if name]


def check_split(name: str, data_set: str, split: str, splits: Splits | None) -> None:
    """Refuses a split that a data set does not have.

    Args:
        name: what the user typed.
        data_set: the part of it that names the data set.
        split: the part of it that names the split.
        splits: those that there are.

    Raises:
        UsageError: it does not.
    """
    names = splits.names if splits else []
    if split not in names:
        hint = nearest(split, names) if names else "; it has no splits"
        raise UsageError(f"{name}: {data_set} has no split {split!r}{hint}")
