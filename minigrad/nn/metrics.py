"""How good predictions are."""

from __future__ import annotations

from ..autograd.tensor import Tensor


def accuracy(scores: Tensor, labels: Tensor) -> Tensor:
    """(1/N) Σ_i [argmax_c scores_ic = labels_i]: the fraction of rows whose largest score is at the label.

    scores (N, C), labels (N,), both on one device -> a float32 Tensor of shape () there, without a copy to the host.
    Raises TypeError for labels that are no integers, ValueError for other shapes and for no rows at all, RuntimeError
    for two devices.
    """
    if not isinstance(scores, Tensor) or not isinstance(labels, Tensor):
        kinds = f"{type(scores).__name__} and {type(labels).__name__}"
        raise TypeError(f"accuracy: expected Tensors as scores and labels, got {kinds}; write tensor(...)")
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or 0 in scores.shape:
        raise ValueError(f"accuracy: expected scores (N, C) and labels (N,), got {scores.shape} and {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"accuracy: expected integer labels, got dtype {labels.dtype}; write labels.long()")
    return (scores.argmax(dim=1) == labels).float().mean()
