"""Losses with the constructors and calls of lightly's, as of its version 1.6.

    from sslfast.nn.compat.lightly import BarlowTwinsLoss, NegativeCosineSimilarity, NTXentLoss, SwaVLoss

`gather_distributed` works as there: over the default process group, once it is initialised.

What the originals take and these refuse, with a ValueError: a negative temperature (NTXentLoss), and
`sinkhorn_iterations=0` (SwaVLoss). A memory bank's size may be a number alone, without a warning.
"""

from collections.abc import Sequence
from numbers import Integral

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from sslfast import distributed
from sslfast import kernels as K
from sslfast.kernels.common import checks
from sslfast.kernels.cross_correlation_loss.op import check_lambd
from sslfast.kernels.info_nce.op import OP as INFO_NCE
from sslfast.kernels.sinkhorn_knopp.op import check_epsilon
from sslfast.nn.negative_cosine import check_cosine
from sslfast.nn.swav import swapped_prediction

__all__ = ["BarlowTwinsLoss", "MemoryBankModule", "NTXentLoss", "NegativeCosineSimilarity", "SwaVLoss"]


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


class NTXentLoss(nn.Module):
    """`lightly.loss.NTXentLoss`: SimCLR's loss, or with a memory bank MoCo's.

    The embeddings are normalised to length 1. With a bank the loss is `kernels.info_nce` against it; then the
    bank takes out1, if out0 requires grad. Without one it is `kernels.nt_xent`, or, over several processes,
    `kernels.in_batch_info_nce`.

    Args:
        temperature: t > 0. The original takes negative ones too.
        memory_bank_size: (vectors, dim), or 0 for no bank; see MemoryBankModule.
        gather_distributed: without a bank, the negatives are those of all ranks; with one, it takes the keys
            of all ranks.

    Raises:
        ValueError: a temperature or size out of range; gathering by a torch without torch.distributed.
    """

    def __init__(
        self,
        temperature: float = 0.5,
        memory_bank_size: int | Sequence[int] = 0,
        gather_distributed: bool = False,
    ) -> None:
        super().__init__()
        checks.check_temperature("NTXentLoss", temperature)
        _check_gathering("NTXentLoss", gather_distributed)
        self.memory_bank = MemoryBankModule(memory_bank_size, gather_distributed)
        self.temperature = temperature
        self.gather_distributed = gather_distributed

    def forward(self, out0: Tensor, out1: Tensor) -> Tensor:
        """Computes the mean loss of two views' embeddings, (N, dim) each."""
        out0, out1 = F.normalize(out0, dim=1), F.normalize(out1, dim=1)
        if self.memory_bank.size[0] > 0:
            return self._against_bank(out0, out1)
        if self.gather_distributed and distributed.world_size() > 1:
            return self._over_ranks(out0, out1)
        return K.nt_xent(out0, out1, temperature=self.temperature)

    def _against_bank(self, query: Tensor, positive: Tensor) -> Tensor:
        bank = self.memory_bank.vectors(query.shape[1]).to(query.device)
        if INFO_NCE.choose("auto", query.device, query.dtype) == "reference":
            bank = bank.clone()  # its graph holds on to the bank, which is about to change; the kernels' does not
        loss = K.info_nce(query, positive, bank, temperature=self.temperature)
        if query.requires_grad:
            self.memory_bank.enqueue(positive)
        return loss

    def _over_ranks(self, out0: Tensor, out1: Tensor) -> Tensor:
        rows, swapped = torch.cat([out0, out1]), torch.cat([out1, out0])  # row i's positive: row i of swapped
        keys = distributed.gather(swapped)
        offset = distributed.rank() * len(rows)
        # An id of its own for each row and for the key that is the row itself.
        ids = torch.arange(len(rows), device=rows.device)
        key_ids = torch.full((len(keys),), -1, device=rows.device)
        key_ids[offset : offset + len(rows)] = ids.roll(len(out0))
        return K.in_batch_info_nce(rows, keys, temperature=self.temperature, offset=offset, ids=(ids, key_ids))


class SwaVLoss(nn.Module):
    """`lightly.loss.SwaVLoss`: the loss of `sslfast.nn.SwAVLoss`; as in the original it has shape (1,).

    Args:
        temperature: t > 0, of the predictions.
        sinkhorn_iterations: at least 1.
        sinkhorn_epsilon: weight of the entropy of the codes.
        sinkhorn_gather_distributed: balances the codes over the samples of all ranks.

    Raises:
        ValueError: a temperature, iterations or an epsilon out of range; gathering by a torch without
            torch.distributed.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        sinkhorn_iterations: int = 3,
        sinkhorn_epsilon: float = 0.05,
        sinkhorn_gather_distributed: bool = False,
    ) -> None:
        super().__init__()
        checks.check_temperature("SwaVLoss", temperature)
        checks.check_whole_number("SwaVLoss", "sinkhorn_iterations", sinkhorn_iterations, least=1)
        check_epsilon("SwaVLoss", sinkhorn_epsilon, name="a sinkhorn_epsilon")
        _check_gathering("SwaVLoss", sinkhorn_gather_distributed)
        self.temperature = temperature
        self.sinkhorn_iterations = sinkhorn_iterations
        self.sinkhorn_epsilon = sinkhorn_epsilon
        self.sinkhorn_gather_distributed = sinkhorn_gather_distributed

    def forward(
        self,
        high_resolution_outputs: list[Tensor],
        low_resolution_outputs: list[Tensor],
        queue_outputs: list[Tensor] | None = None,
    ) -> Tensor:
        """Computes the loss of crops' scores against the prototypes, (B, K) each; a queue's scores are (Q, K)."""
        gathers = self.sinkhorn_gather_distributed and distributed.world_size() > 1
        loss = swapped_prediction(
            high_resolution_outputs,
            low_resolution_outputs,
            queue_outputs,
            temperature=self.temperature,
            epsilon=self.sinkhorn_epsilon,
            iterations=self.sinkhorn_iterations,
            group=dist.group.WORLD if gathers else None,
        )
        return loss.reshape(1)


class BarlowTwinsLoss(nn.Module):
    """`lightly.loss.BarlowTwinsLoss`: `kernels.cross_correlation_loss`.

    Over several processes, where `gather_distributed` averages the ranks' matrices, it is plain PyTorch.

    Args:
        lambda_param: the weight of the elements off the diagonal.
        gather_distributed: takes the mean of the cross-correlation matrices of all ranks.

    Raises:
        ValueError: a lambda_param below 0; gathering by a torch without torch.distributed.
    """

    def __init__(self, lambda_param: float = 5e-3, gather_distributed: bool = False) -> None:
        super().__init__()
        check_lambd("BarlowTwinsLoss", lambda_param, name="lambda_param")
        _check_gathering("BarlowTwinsLoss", gather_distributed)
        self.lambda_param = lambda_param
        self.gather_distributed = gather_distributed

    def forward(self, z_a: Tensor, z_b: Tensor) -> Tensor:
        """Computes the loss of two views' embeddings, (N, D) each."""
        if not (self.gather_distributed and distributed.world_size() > 1):
            return K.cross_correlation_loss(z_a, z_b, lambd=self.lambda_param)
        z_a, z_b = (F.batch_norm(z, None, None, training=True) for z in (z_a, z_b))
        c = distributed.mean(z_a.T @ z_b / len(z_a))  # (D, D)
        weights = torch.full_like(c, self.lambda_param).fill_diagonal_(1)
        return (weights * (c - torch.eye(len(c), device=c.device)).square()).sum()


class NegativeCosineSimilarity(nn.Module):
    """`lightly.loss.NegativeCosineSimilarity`: the mean over pairs. Plain PyTorch.

    Args:
        dim: the dimension of the embeddings' components.
        eps: a lower bound of the lengths.

    Raises:
        ValueError: a dim that is no whole number, or an eps below 0.
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        check_cosine("NegativeCosineSimilarity", dim, eps)
        self.dim, self.eps = dim, eps

    def forward(self, x0: Tensor, x1: Tensor) -> Tensor:
        """Computes the mean negative cosine similarity of the pairs."""
        return -F.cosine_similarity(x0, x1, self.dim, self.eps).mean()


def _check_gathering(name: str, wanted: bool) -> None:
    """Raises ValueError where gathering is wanted and impossible."""
    if wanted and not dist.is_available():
        raise ValueError(f"{name}: cannot gather over processes: this torch is built without torch.distributed")
