"""iBOT's loss of masked patches."""

import torch.nn.functional as F
from torch import Tensor, nn

from sslfast import kernels as K
from sslfast.kernels.common import checks
from sslfast.nn.compat.lightly.center import Center, check_center_mode


class IBOTPatchLoss(nn.Module):
    """`lightly.loss.IBOTPatchLoss`: masked patches predict the teacher's, by `kernels.soft_cross_entropy`.

    Each call moves the center.

    Args:
        output_dim: number of prototypes.
        teacher_temp: temperature of the targets.
        student_temp: t > 0, of the predictions.
        center_mode: "mean".
        center_momentum: of the center's moving average.

    Raises:
        ValueError: a student_temp or center_mode out of range.
    """

    def __init__(
        self,
        output_dim: int = 65536,
        teacher_temp: float = 0.04,
        student_temp: float = 0.1,
        center_mode: str = "mean",
        center_momentum: float = 0.9,
    ) -> None:
        super().__init__()
        checks.check_temperature("IBOTPatchLoss", student_temp)
        check_center_mode("IBOTPatchLoss", center_mode)
        self.teacher_temp, self.student_temp = teacher_temp, student_temp
        self.center = Center(output_dim, center_momentum)

    def forward(
        self, teacher_out: Tensor, student_out: Tensor, mask: Tensor, teacher_temp: float | None = None
    ) -> Tensor:
        """Computes the loss: the mean over an image's masked patches, and over the images.

        Args:
            teacher_out, student_out: scores of the masked patches, (M, output_dim), in the order of the mask.
            mask: bool (B, H, W), with M True.
            teacher_temp: temperature of the targets; None: `self.teacher_temp`.
        """
        temperature = self.teacher_temp if teacher_temp is None else teacher_temp
        targets = F.softmax((teacher_out - self.center.value) / temperature, dim=-1)
        losses = K.soft_cross_entropy(student_out, targets, temperature=self.student_temp, reduction="none")
        masked = mask.sum(dim=(1, 2), keepdim=True).clamp(min=1)
        loss = (losses / masked.expand_as(mask)[mask]).sum() / len(mask)
        self.center.update(teacher_out)
        return loss
