"""DINO's loss."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslfast.kernels.common import checks
from sslfast.nn.compat.lightly.center import check_center_mode, moved_center
from sslfast.nn.swav import predict_others


class DINOLoss(nn.Module):
    """`lightly.loss.DINOLoss`: views predict the teacher's centered scores, by `kernels.soft_cross_entropy`.

    Each call moves the center.

    Args:
        output_dim: number of prototypes.
        warmup_teacher_temp: temperature of the targets in epoch 0.
        teacher_temp: and from epoch `warmup_teacher_temp_epochs` on.
        warmup_teacher_temp_epochs: epochs in which it changes linearly.
        student_temp: t > 0, of the predictions.
        center_momentum: of the center's moving average.
        center_mode: "mean".

    Attributes:
        center: (1, 1, output_dim), a buffer.

    Raises:
        ValueError: a student_temp or center_mode out of range.
    """

    center: Tensor

    def __init__(
        self,
        output_dim: int = 65536,
        warmup_teacher_temp: float = 0.04,
        teacher_temp: float = 0.04,
        warmup_teacher_temp_epochs: int = 30,
        student_temp: float = 0.1,
        center_momentum: float = 0.9,
        center_mode: str = "mean",
    ) -> None:
        super().__init__()
        checks.check_temperature("DINOLoss", student_temp)
        check_center_mode("DINOLoss", center_mode)
        self.teacher_temp, self.student_temp, self.center_momentum = teacher_temp, student_temp, center_momentum
        self.warmup_teacher_temp_epochs = warmup_teacher_temp_epochs
        self.teacher_temp_schedule = torch.linspace(warmup_teacher_temp, teacher_temp, warmup_teacher_temp_epochs)
        self.register_buffer("center", torch.zeros(1, 1, output_dim))

    def forward(
        self,
        teacher_out: list[Tensor],
        student_out: list[Tensor],
        teacher_temp: float | None = None,
        epoch: int | None = None,
    ) -> Tensor:
        """Computes the loss of views' scores against the prototypes, (B, output_dim) each.

        Args:
            teacher_out: of the global views. They receive gradients if they ask, as in the original.
            student_out: of the same views first, then of the local ones.
            teacher_temp: temperature of the targets; None: by `epoch`, or `self.teacher_temp` without one.
            epoch: from 0.

        Raises:
            ValueError: fewer than two views of the student's, or fewer than the teacher has.
        """
        if not 0 < len(teacher_out) <= len(student_out) or len(student_out) < 2:
            raise ValueError(
                "DINOLoss: expected at least 2 views of the student's, and from 1 to as many of the teacher's, "
                f"got {len(student_out)} and {len(teacher_out)}"
            )
        temperature: float | Tensor = self.teacher_temp if teacher_temp is None else teacher_temp
        if teacher_temp is None and epoch is not None and epoch < self.warmup_teacher_temp_epochs:
            temperature = self.teacher_temp_schedule[epoch]
        targets = [F.softmax((scores - self.center[0]) / temperature, dim=1) for scores in teacher_out]
        loss = predict_others(student_out, targets, temperature=self.student_temp)
        self.update_center(torch.stack(teacher_out))
        return loss

    def update_center(self, teacher_out: Tensor) -> None:
        """Moves the center towards the mean of the teacher's scores, (views, B, output_dim), of all ranks."""
        self.center = moved_center(self.center, teacher_out, self.center_momentum)
