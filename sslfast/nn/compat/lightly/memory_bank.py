"""The bank of earlier batches' embeddings."""

from collections.abc import Sequence
from numbers import Integral

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslfast import distributed


class MemoryBankModule(nn.Module):
    """Vectors of earlier batches, oldest out first: `lightly.models.modules.memory_bank.MemoryBankModule`.

    A batch that reaches the bank's end loses the rows beyond it, and the next one starts at row 0. The pointer
    is not read by the host.

    Args:
        size: (vectors, dim); 0: no bank. A number of vectors alone, which lightly 1.6 refuses: the first batch
            sets dim.
        gather_distributed: puts the batches of all ranks into the bank.
        feature_dim_first: gives the bank as (dim, vectors), else as (vectors, dim).

    Attributes:
        bank: (vectors, dim), fp32; at the start random directions of length 1. Not in the state dict.
        bank_ptr: (1,) int64, the row that the next vector takes. Not in the state dict.

    Raises:
        ValueError: a size that is negative, or not of one or two numbers.
    """

    bank: Tensor
    bank_ptr: Tensor

    def __init__(
        self, size: int | Sequence[int], gather_distributed: bool = False, feature_dim_first: bool = True
    ) -> None:
        super().__init__()
        self.size: tuple[int, ...] = tuple(size) if isinstance(size, Sequence) else (size,)
        whole = all(isinstance(number, Integral) and number >= 0 for number in self.size)
        if not whole or len(self.size) not in (1, 2):
            raise ValueError(f"MemoryBankModule: expected size to be 0 or (vectors, dim), got {size!r}")
        self.gather_distributed = gather_distributed
        self.feature_dim_first = feature_dim_first
        self.register_buffer("bank", torch.empty(0), persistent=False)
        self.register_buffer("bank_ptr", torch.zeros(1, dtype=torch.long), persistent=False)
        if len(self.size) == 2:
            self.vectors(self.size[1])

    def vectors(self, dim: int) -> Tensor:
        """Returns the bank itself, (vectors, dim); the first call draws it from torch's generator of the CPU."""
        if self.bank.ndim == 1:
            self.bank = F.normalize(torch.randn(self.size[0], dim).to(self.bank), dim=1)
        return self.bank

    def forward(
        self, output: Tensor, labels: Tensor | None = None, update: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Returns the output, and a copy of the bank from before the output is put into it (None without a bank).

        Args:
            output: (N, dim).
            labels: ignored, as in the original.
            update: puts the output into the bank.
        """
        if self.size[0] == 0:
            return output, None
        bank = self.vectors(output.shape[1]).clone()
        if update:
            self.enqueue(output)
        return output, bank.T if self.feature_dim_first else bank

    @torch.no_grad()
    def enqueue(self, batch: Tensor) -> None:
        """Puts a batch, (N, dim), in place of the oldest vectors."""
        if self.gather_distributed:
            batch = distributed.gather(batch)
        size, count = self.size[0], len(batch)
        # Rows beyond the end become repetitions of the last one before it, and write what it writes.
        rows = torch.arange(count, device=self.bank.device).minimum(size - 1 - self.bank_ptr)
        self.bank.index_copy_(0, self.bank_ptr + rows, batch.to(self.bank)[rows])
        self.bank_ptr.copy_((self.bank_ptr + count) * (self.bank_ptr + count < size))
