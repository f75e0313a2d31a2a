"""Layers and losses as functions: `import minigrad.nn.functional as F`."""

from __future__ import annotations

import math
from typing import Any

from .. import backend, ops
from ..autograd.tensor import Tensor, expect_tensor, value_range, wrap
from ..ops import leaky_relu, linear, log_softmax, relu, sigmoid, softmax, softplus, tanh

__all__ = [
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "dropout",
    "leaky_relu",
    "linear",
    "log_softmax",
    "mse_loss",
    "nll_loss",
    "one_hot",
    "relu",
    "sigmoid",
    "softmax",
    "softplus",
    "tanh",
]


def probability(name: str, p: float) -> float:
    """p, or ValueError if it is none."""
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: expected a probability from 0 to 1, got {p}")
    return p


def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """In training each element is 0 with probability p, else x / (1 - p), so that its mean stays; otherwise y = x."""
    expect_tensor("dropout", "input", input)
    p = float(probability("dropout", p))
    if p == 0 or not training:
        return input
    if input.dtype.kind != "f":
        raise TypeError(f"dropout: expected an input of floating point, got dtype {input.dtype}")
    keep = backend.numpy.asarray(backend.random.generator().random(input.shape) >= p)
    scale = backend.as_array((keep / max(1 - p, 1e-300)).astype(input.dtype))
    return input * Tensor(backend.library(input.device).from_host(scale))


def one_hot(target: Tensor, num_classes: int) -> Tensor:
    """1 at the position of each label, else 0: (...,) -> (..., num_classes), int64."""
    expect_tensor("one_hot", "target", target)
    check_labels("one_hot", target, num_classes, ignore_index=None)
    xp = backend.namespace(target.array)
    return wrap((target.array[..., None] == xp.arange(num_classes)).astype(backend.int64))


# Losses
def reduction_named(reduction: str) -> str:
    """The reduction, or ValueError if there is none of that name."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction: expected 'mean', 'sum' or 'none', got {reduction!r}")
    return reduction


def reduce(loss: Tensor, reduction: str, count: Tensor | None = None) -> Tensor:
    """The losses of the samples as they are, their sum, or their mean: the sum / `count`, else their number.

    A mean of nothing is nan, and its gradient is 0, as in torch.
    """
    if reduction_named(reduction) == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    if count is None:
        return loss.mean()
    nothing = count == 0
    return loss.sum() / ops.where(nothing, 1.0, count) + ops.where(nothing, math.nan, count * 0)


def expect(name: str, role: str, given: Any, like: Tensor, shape: tuple[int, ...] | None = None) -> None:
    """Raise unless `given` is a Tensor on the device of `like`, and of this shape if one is named."""
    expect_tensor(name, "input", like)
    expect_tensor(name, role, given)
    if type(given.array) is not type(like.array):
        raise RuntimeError(
            f"{name}: expected {role} on {like.device}, got {given.device}; write {role}.to('{like.device}')"
        )
    if shape is not None and given.shape != shape:
        raise ValueError(f"{name}: expected {role} of shape {shape}, got {given.shape}")


def check_labels(name: str, target: Tensor, num_classes: int, ignore_index: int | None) -> bool:
    """Raise unless each label is from 0 to num_classes - 1, or ignore_index; True if some may be ignore_index."""
    if target.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integer labels, got dtype {target.dtype}; write target.long()")
    labels = target.array
    if labels.size == 0:
        return False
    low, high = value_range(target) or (int(labels.min()), int(labels.max()))
    if low >= 0 and high < num_classes and not low <= (-1 if ignore_index is None else ignore_index) <= high:
        return False
    bad = (labels < 0) | (labels >= num_classes)
    if ignore_index is not None:
        bad &= labels != ignore_index
    if bad.any():
        first = int(bad.argmax())
        raise IndexError(
            f"{name}: expected labels from 0 to {num_classes - 1}, got {int(labels.ravel()[first])} "
            f"at index {first if labels.ndim < 2 else backend.unravel(first, labels.shape)}"
        )
    return ignore_index is not None


def class_axis(name: str, input: Tensor, target: Tensor, weight: Tensor | None, probabilities: bool = False) -> int:
    """The axis of the classes in an input (C,) or (N, C, ...). Raises where target and weight do not go with it.

    The target has the shape of the input without that axis, or where `probabilities` are allowed all of it.
    """
    expect(name, "target", target, input)
    shape, given = input.array.shape, target.array.shape
    if not shape or input.array.dtype.kind != "f":
        raise TypeError(f"{name}: expected scores (N, C) of floating point, got {shape} {input.dtype}")
    dim = 0 if len(shape) == 1 else 1
    expected = shape[:dim] + shape[dim + 1 :]
    if given != expected and not (probabilities and given == shape and target.dtype.kind == "f"):
        raise ValueError(f"{name}: expected labels of shape {expected} for an input of shape {shape}, got {given}")
    if weight is not None:
        expect(name, "weight", weight, input, (shape[dim],))
    return dim


def along(dim: int, input: Tensor, per_class: Any) -> Any:
    """An array or Tensor of one element per class (C,), shaped to broadcast along the axis of the classes."""
    return per_class.reshape((input.shape[dim],) + (1,) * (input.ndim - dim - 1))


def is_label(input: Tensor, target: Tensor, dim: int) -> Tensor:
    """Bool, shaped as `input`: True where the class is the label."""
    labels, classes = target.array, input.array.shape[dim]
    rows = backend.namespace(labels).arange(classes).reshape((classes,) + (1,) * labels.ndim)
    return wrap((labels == rows).swapaxes(0, dim))  # made with a row for each class, as long rows are compared faster


def class_weights(
    input: Tensor, target: Tensor, dim: int, weight: Tensor | None, ignore_index: int, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """What cross-entropy compares a prediction with: q, the weight of each class in each sample, shaped as `input`.

    A label y stands for q_c = w_y (1 - ε) [c = y] + w_c ε / C, an ignored one for q = 0. Also the divisor of the mean:
    the sum of the w_y.
    """
    xp = backend.namespace(input.array)
    counted = wrap(xp.expand_dims(target.array != ignore_index, dim))
    w = input.detach() * 0 + 1 if weight is None else along(dim, input, weight.detach().to(dtype=input.dtype))
    q = is_label(input, target, dim) * w * counted
    count = q.sum()
    if label_smoothing:
        q = (1 - label_smoothing) * q + label_smoothing / input.shape[dim] * w * counted
    return q, count


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-Σ_c q_c log softmax(input)_c, the mean over the samples.    input (N, C), (C,) or (N, C, d1, ...)

    `target`: labels (N,), (), (N, d1, ...), integers from 0 to C - 1 or `ignore_index`, q_c = [c = label]; or
    probabilities q of the shape of `input`. `weight` (C,) weighs the classes; the mean of labels divides by the sum of
    the weights. With label_smoothing ε, q becomes (1 - ε) q + ε / C. Raises ValueError for shapes, TypeError for
    dtypes, IndexError for a label out of range.
    """
    name = "cross_entropy"
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"{name}: expected label_smoothing from 0 to 1, got {label_smoothing}")
    dim = class_axis(name, input, target, weight, probabilities=True)
    if target.array.ndim == input.array.ndim:
        q = (1 - label_smoothing) * target + label_smoothing / input.shape[dim] if label_smoothing else target
        q = q if weight is None else q * along(dim, input, weight)
        return reduce(ops.cross_entropy(input, q, dim), reduction)
    some_ignored = check_labels(name, target, input.array.shape[dim], ignore_index)
    if weight is None and not some_ignored and not label_smoothing:
        truth = is_label(input, target, dim)
        return ops.softmax_cross_entropy(input, truth, dim=dim, reduction=reduction_named(reduction))
    q, count = class_weights(input, target, dim, weight, ignore_index, label_smoothing)
    return reduce(ops.cross_entropy(input, q, dim), reduction, count)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """-w_y input[y], the mean over the samples: cross-entropy of log-probabilities.

    `input` (N, C), (C,) or (N, C, d1, ...); the rest and the errors are as in `cross_entropy`, labels only.
    """
    dim = class_axis("nll_loss", input, target, weight)
    check_labels("nll_loss", target, input.shape[dim], ignore_index)
    q, count = class_weights(input, target, dim, weight, ignore_index)
    return reduce(ops.nll_loss(input, q, dim), reduction, count)


def mse_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", weight: Tensor | None = None) -> Tensor:
    """(input - target)², the mean over all elements.    input, target, weight of one shape

    With `weight` w, w (input - target)², and the mean divides by Σ w. Raises ValueError where the shapes differ.
    """
    expect_tensor("mse_loss", "input", input)
    expect("mse_loss", "target", target, input, input.shape)
    loss = ops.mse_loss(input, target)
    if weight is None:
        return reduce(loss, reduction)
    expect("mse_loss", "weight", weight, input, input.shape)
    return reduce(loss * weight, reduction, weight.sum())


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """-w (p t log σ(x) + (1 - t) log(1 - σ(x))), the mean over all elements.    input x, target t of one shape

    `weight` w and `pos_weight` p broadcast against them. Raises ValueError where the shapes differ.
    """
    expect_tensor("binary_cross_entropy_with_logits", "input", input)
    expect("binary_cross_entropy_with_logits", "target", target, input, input.shape)
    loss = ops.binary_cross_entropy_with_logits(input, target, 1.0 if pos_weight is None else pos_weight)
    return reduce(loss if weight is None else loss * weight, reduction)
