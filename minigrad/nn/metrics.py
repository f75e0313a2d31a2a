"""Metrics of predictions."""

from __future__ import annotations

from ..autograd.errors import ShapeError
from ..autograd.tensor import Tensor, expect_tensor


def accuracy(scores: Tensor, labels: Tensor) -> Tensor:
    """The fraction of samples whose largest score is that of the label.

    Args:
        scores: logits or probabilities.
        labels: integers.

    Returns:
        A float32 Tensor on the device of the scores, without a copy to the host.

    Raises:
        TypeError: an argument is not a Tensor, or the labels are not integers.
        ShapeError: the shapes do not match, or there are no samples.
        RuntimeError: the Tensors are on two devices.

    Shape:
        scores (N, C), labels (N,) -> ()

    Example:
        >>> import minigrad as mg
        >>> mg.accuracy(mg.tensor([[2.0, 0.0], [0.0, 1.0]]), mg.tensor([0, 0]))
        tensor(0.5)
    """
    expect_tensor("accuracy", "scores", scores)
    expect_tensor("accuracy", "labels", labels)
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or 0 in scores.shape:
        raise ShapeError(f"accuracy: expected scores (N, C) and labels (N,), got {scores.shape} and {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"accuracy: expected integer labels, got dtype {labels.dtype}; use labels.long()")
    return (scores.argmax(dim=1) == labels).float().mean()
