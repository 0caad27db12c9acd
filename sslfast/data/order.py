"""The order of an epoch's images, in which others take the places of those that cannot be read."""

from __future__ import annotations

from itertools import chain

import numpy as np
from numpy.typing import NDArray

from sslfast.data.files import Files
from sslfast.data.spec import LoaderSpec
from sslfast.errors import UsageError
from sslfast.random.philox import permutation


class ReadableOrder:
    """The images of each batch, a function of (seed, epoch, step) and of which files are unreadable.

    Each epoch visits every image once, but for an incomplete last batch and unreadable files, whose rows others
    take (`_substitute`). Which files are unreadable is found out as they are met; nothing of it is saved to
    resume.

    Args:
        spec: of the loader.
        files: of its source.
        epoch: counted from 0.
    """

    def __init__(self, spec: LoaderSpec, files: Files, epoch: int) -> None:
        self.name, self.files = spec.source.name, files
        self.size, self.rows = spec.data.batch_size, spec.rows()
        self.order = permutation(spec.seed, epoch, len(spec.source))

    def batch(self, step: int) -> NDArray[np.int64]:
        """Returns the images of this rank's rows of a step, with a substitute for each that is unreadable.

        Raises:
            UsageError: too many files cannot be read.
        """
        indices = self.order[step * self.size + self.rows]
        bad = ~self.files.readable(indices)
        if bad.any():
            # The images after the batch, and at last the batch itself.
            others = np.roll(self.order, -(step + 1) * self.size)
            indices[bad] = [self._substitute(others, row) for row in self.rows[bad]]
        return indices

    def _substitute(self, others: NDArray[np.int64], row: int) -> np.int64:
        """Finds the readable image for a row of a batch whose own is not.

        Counted on from the batch in the epoch's order, round its end, it is the first that lies whole batches from
        the row; should none of these be readable, the first that does from the next row, and so on, and at last
        one of the batch itself. It does not depend on the other rows, which may be another rank's, and no two rows
        take the same unless one has run out.
        """
        following, batch = others[: -self.size], others[-self.size :]
        for i in chain(*(following[r % self.size :: self.size] for r in range(row, row + self.size)), batch):
            if self.files.readable(i[None]).all():
                return i
        raise UsageError(f"{self.name}: none of the {len(others)} images can be read")
