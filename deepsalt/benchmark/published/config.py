"""Sizes, weights and budgets of the published method (DeepSalt, arXiv 2510.23124)."""

from dataclasses import dataclass, replace

from deepsalt.errors import UsageError


@dataclass(frozen=True, slots=True)
class PublishedConfig:
    """Sizes, weights and budgets; the first nine fields are as published."""

    latent: int = 64
    """Width of either latent."""
    teacher_layers: int = 3
    """Transformer layers of the teacher."""
    teacher_width: int = 64
    """Width of the teacher's token."""
    student_layers: int = 4
    """Transformer layers of the student."""
    student_width: int = 72
    """Width of the student's token."""
    heads: int = 8
    """Attention heads of either."""
    feature_weights: tuple[float, ...] = (1.35, 1.05, 0.65)
    """Weight of each teacher layer in the feature loss."""
    task_weight: float = 0.07
    """Weight of the labels in the student's loss."""
    feature_weight: float = 0.90
    """Weight of the teacher's features in the student's loss."""
    hidden: int = 128
    """Width of the autoencoders between spectrum and latent."""
    feedforward: int = 1764
    """Width within each transformer layer."""
    sparsity_target: float = 0.1
    """Mean activation that each code is drawn to, between 0 and 1."""
    sparsity_weight: float = 0.05
    """Weight of the sparsity loss beside the mean squared error of reconstruction."""
    alignment_weight: float = 1.0
    """Weight of the alignment beside the same."""
    encoder_steps: int = 1500
    """Optimiser steps of each autoencoder."""
    teacher_steps: int = 300
    """Optimiser steps of the teacher; five times as many overfit a thousand real samples."""
    student_steps: int = 150
    """Optimiser steps of the student; four times as many follow 300 sites' noise."""
    batch: int = 64
    """Rows per step, drawn with replacement."""
    learning_rate: float = 2e-3
    """Highest rate of the one-cycle schedule."""
    seed: int = 0
    """Of weights, batches and dropout."""

    def __post_init__(self) -> None:
        if len(self.feature_weights) != self.teacher_layers:
            raise UsageError(
                f"feature_weights has {len(self.feature_weights)} values for "
                f"{self.teacher_layers} teacher layers; give one per layer"
            )
        if self.teacher_width % self.heads or self.student_width % self.heads:
            raise UsageError(
                f"{self.heads} heads do not divide the widths {self.teacher_width} and "
                f"{self.student_width}; choose widths that are multiples of heads"
            )
        if not 0.0 < self.sparsity_target < 1.0:
            raise UsageError(
                f"sparsity_target is {self.sparsity_target}; give a share between 0 and 1"
            )

    def quick(self) -> "PublishedConfig":
        """Return the same method with budgets of a few seconds."""
        return replace(self, encoder_steps=800, teacher_steps=150, student_steps=100)
