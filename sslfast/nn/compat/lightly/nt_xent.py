"""SimCLR's loss, MoCo's, and DirectCLR's."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslfast import distributed
from sslfast import kernels as K
from sslfast.kernels.common import checks
from sslfast.kernels.info_nce.op import OP as INFO_NCE
from sslfast.nn.compat.lightly.common import check_gathering
from sslfast.nn.compat.lightly.memory_bank import MemoryBankModule


class NTXentLoss(nn.Module):
    """`lightly.loss.NTXentLoss`: SimCLR's loss, or with a memory bank MoCo's.

    The embeddings are normalized to length 1. With a bank the loss is `kernels.info_nce` against it; then the
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
        check_gathering("NTXentLoss", gather_distributed)
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


class DirectCLRLoss(NTXentLoss):
    """`lightly.loss.DirectCLRLoss`: NTXentLoss of the embeddings' first components.

    Args:
        loss_dim: how many components count.
        temperature, memory_bank_size, gather_distributed: see NTXentLoss; the bank's dim is `loss_dim`.

    Raises:
        ValueError: see NTXentLoss.
    """

    def __init__(
        self,
        loss_dim: int = 64,
        temperature: float = 0.5,
        memory_bank_size: int | Sequence[int] = 0,
        gather_distributed: bool = False,
    ) -> None:
        super().__init__(temperature, memory_bank_size, gather_distributed)
        self.loss_dim = loss_dim

    def forward(self, out0: Tensor, out1: Tensor) -> Tensor:
        """Computes the mean loss of two views' embeddings, (N, ...) each, which are flattened."""
        out0, out1 = (out.flatten(start_dim=1)[:, : self.loss_dim] for out in (out0, out1))
        return super().forward(out0, out1)
