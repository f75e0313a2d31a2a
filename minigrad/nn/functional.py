"""Layers and losses as functions: `import minigrad.nn.functional as F`."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from .. import backend, ops
from ..autograd.errors import ShapeError
from ..autograd.tensor import Tensor, expect_tensor, value_range, wrap
from ..composed import activation, losses, normalization
from ..composed.activation import *  # noqa: F403
from ..composed.linear_algebra import cosine_similarity, pairwise_distance
from ..composed.losses import *  # noqa: F403
from ..composed.normalization import *  # noqa: F403
from ..left_out import left_out
from ..ops import leaky_relu, linear, log_softmax, relu, sigmoid, softmax, softplus, tanh

__all__ = [  # noqa: RUF022 (by subject)
    # Layers
    "linear",
    "dropout",
    "one_hot",
    # Activations
    "relu",
    "leaky_relu",
    "sigmoid",
    "tanh",
    "softplus",
    "softmax",
    "log_softmax",
    "cosine_similarity",
    "pairwise_distance",
    # Losses
    "cross_entropy",
    "nll_loss",
    "mse_loss",
    "binary_cross_entropy_with_logits",
]
__all__ += activation.__all__ + losses.__all__ + normalization.__all__


def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """In training y = 0 with probability p, else x / (1 - p), so that the mean stays the same; in evaluation y = x.

    Args:
        input: of a floating dtype.
        p: the probability of an element to be dropped, from 0 to 1.
        training: False returns `input`.

    Raises:
        TypeError: `input` is not a Tensor of floating point.
        ValueError: p is not from 0 to 1.

    Example:
        >>> import minigrad as mg
        >>> import minigrad.nn.functional as F
        >>> sorted(set(F.dropout(mg.ones(100), p=0.5).tolist()))
        [0.0, 2.0]
    """
    expect_tensor("dropout", "input", input)
    p = check_probability("dropout", p)
    if p == 0 or not training:
        return input
    if input.dtype.kind != "f":
        raise TypeError(f"dropout: expected an input of floating point, got dtype {input.dtype}; use input.float()")
    keep = backend.numpy.asarray(backend.random.generator().random(input.shape) >= p)
    scale = 1 / (1 - p) if p < 1 else 1.0
    return ops.where(wrap(backend.library_of(input.array).from_host(keep)), input * scale, 0.0)


def one_hot(input: Tensor, num_classes: int = -1) -> Tensor:
    """1 at the position of each label, else 0, int64.

    Args:
        input: labels.
        num_classes: the number C of classes; by default the largest label + 1.

    Raises:
        TypeError: the labels or num_classes are not integers.
        IndexError: a label is outside [0, num_classes).

    Shape:
        input (...,) -> (..., C)

    Example:
        >>> import minigrad as mg
        >>> import minigrad.nn.functional as F
        >>> F.one_hot(mg.tensor([2, 0]), 3).tolist()
        [[0, 0, 1], [1, 0, 0]]
    """
    expect_tensor("one_hot", "input", input)
    check_integers("one_hot", input)
    if not isinstance(num_classes, Integral):
        raise TypeError(f"one_hot: expected an integer as num_classes, got {num_classes!r}")
    if num_classes == -1:
        if input.numel() == 0:
            raise ValueError("one_hot: expected num_classes for an input without labels")
        num_classes = max(int(input.max().item()) + 1, 0)
    mask = input.array[..., None] == backend.namespace(input.array).arange(num_classes)
    check_labels("one_hot", input, mask, num_classes)
    return wrap(mask.astype(backend.int64))


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy between logits and labels or probabilities q: -Σ_c q_c log softmax(input)_c

    For a label y, q_c = w_y (1 - ε) [c = y] + w_c ε / C, with the class weights w and the label smoothing ε.

    Args:
        input: logits.
        target: labels, integers in [0, C) or equal to `ignore_index`; or probabilities, shaped like `input`.
        weight: w, rescales each class. It gets a gradient only if the targets are probabilities.
        ignore_index: the label of samples that do not count.
        reduction: "mean" (of labels: divided by the sum of their weights), "sum" or "none".
        label_smoothing: ε in [0, 1].

    Returns:
        A scalar, or one loss per sample for reduction="none".

    Raises:
        IndexError: a label is outside [0, C).
        TypeError: `input` is not of floating point, or labels are not integers.
        ShapeError: the shapes do not match.
        ValueError: an unknown reduction, or ε outside [0, 1].

    Shape:
        input (N, C), (C,) or (N, C, d1, ...), weight (C,)
        labels (N,), () or (N, d1, ...)

    Example:
        >>> import minigrad as mg
        >>> import minigrad.nn.functional as F
        >>> F.cross_entropy(mg.tensor([[2.0, 0.0]]), mg.tensor([0]))
        tensor(0.1269)
    """
    dim = check_classification_inputs("cross_entropy", input, target, weight, probabilities=True)
    check_reduction(reduction)
    smoothing = check_probability("cross_entropy", label_smoothing, "label_smoothing")
    if target.array.ndim == input.array.ndim:
        q = (1 - smoothing) * target + smoothing / input.shape[dim] if smoothing else target
        q = q if weight is None else q * per_class_view(weight, input, dim)
        return reduce(ops.cross_entropy(input, q, dim=dim), reduction)
    one_hot = one_hot_mask(input, target, dim)
    counted = check_labels("cross_entropy", target, one_hot.array, input.array.shape[dim], ignore_index)
    if weight is None and counted is None and not smoothing:
        return ops.softmax_cross_entropy(input, one_hot, dim=dim, reduction=reduction)
    q, divisor = target_distribution(input, one_hot, counted, weight, dim, smoothing)
    if counted is not None:
        input = ops.where(counted.unsqueeze(dim), input, 0.0)  # an ignored row may hold nan or inf
    return reduce(ops.cross_entropy(input, q, dim=dim), reduction, divisor)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood of the labels y: -w_y input_y

    Args:
        input: log-probabilities, as from `log_softmax`.
        target: labels, integers in [0, C) or equal to `ignore_index`.
        weight: w, rescales each class.
        ignore_index: the label of samples that do not count.
        reduction: "mean" (divided by the sum of the labels' weights), "sum" or "none".

    Returns:
        A scalar, or one loss per sample for reduction="none".

    Raises:
        IndexError, TypeError, ShapeError, ValueError: as `cross_entropy`.

    Shape:
        as `cross_entropy`

    Example:
        >>> import minigrad as mg
        >>> import minigrad.nn.functional as F
        >>> F.nll_loss(mg.tensor([[-0.5, -1.0]]), mg.tensor([1]))
        tensor(1.)
    """
    dim = check_classification_inputs("nll_loss", input, target, weight)
    check_reduction(reduction)
    one_hot = one_hot_mask(input, target, dim)
    counted = check_labels("nll_loss", target, one_hot.array, input.array.shape[dim], ignore_index)
    q, divisor = target_distribution(input, one_hot, counted, weight, dim)
    input = ops.where(q != 0, input, 0.0)  # other classes may hold nan or inf
    return reduce(ops.nll_loss(input, q, dim=dim), reduction, divisor)


def mse_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", weight: Tensor | None = None) -> Tensor:
    """Squared error: w (input - target)²

    Args:
        input: predictions.
        target: the values to predict.
        reduction: "mean" (divided by the number of elements, or by Σ w), "sum" or "none".
        weight: w.

    Raises:
        ShapeError: the shapes differ; nothing is broadcast.
        ValueError: an unknown reduction.

    Shape:
        input, target and weight (...,) -> (), or (...,) for reduction="none"

    Example:
        >>> import minigrad as mg
        >>> import minigrad.nn.functional as F
        >>> F.mse_loss(mg.tensor([1.0, 2.0]), mg.tensor([1.0, 5.0]))
        tensor(4.5)
    """
    expect_tensor("mse_loss", "input", input)
    check_operand("mse_loss", "target", target, input, input.shape)
    check_reduction(reduction)
    loss = ops.mse_loss(input, target)
    if weight is None:
        return reduce(loss, reduction)
    check_operand("mse_loss", "weight", weight, input, input.shape)
    return reduce(loss * weight, reduction, weight.sum())


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Binary cross-entropy of logits x: -w (p t log σ(x) + (1 - t) log(1 - σ(x)))

    Args:
        input: x.
        target: t, probabilities of the positive class, from 0 to 1.
        weight: w, broadcasts against `input`.
        reduction: "mean" (divided by the number of elements), "sum" or "none".
        pos_weight: p, broadcasts against `input`.

    Raises:
        ShapeError: the shapes of `input` and `target` differ.
        ValueError: an unknown reduction.

    Shape:
        input and target (...,) -> (), or (...,) for reduction="none"

    Example:
        >>> import minigrad as mg
        >>> import minigrad.nn.functional as F
        >>> F.binary_cross_entropy_with_logits(mg.tensor([0.0]), mg.tensor([1.0]))
        tensor(0.6931)
    """
    name = "binary_cross_entropy_with_logits"
    expect_tensor(name, "input", input)
    check_operand(name, "target", target, input, input.shape)
    check_reduction(reduction)
    loss = ops.binary_cross_entropy_with_logits(input, target, 1.0 if pos_weight is None else pos_weight)
    return reduce(loss if weight is None else loss * weight, reduction)


# Parts of the losses
def reduce(loss: Tensor, reduction: str, divisor: Tensor | None = None) -> Tensor:
    """The losses of the samples as they are, their sum, or their mean: the sum / `divisor`, else their number."""
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    return loss.mean() if divisor is None else loss.sum() / divisor


def one_hot_mask(input: Tensor, target: Tensor, dim: int) -> Tensor:
    """Bool, shaped like `input`: True where the class is the label."""
    labels, classes = target.array, input.array.shape[dim]
    rows = backend.namespace(labels).arange(classes).reshape((classes,) + (1,) * labels.ndim)
    return wrap((labels == rows).swapaxes(0, dim))  # one row per class, as long rows are compared faster


def per_class_view(per_class: Tensor, input: Tensor, dim: int) -> Tensor:
    """One element per class (C,), reshaped to broadcast along the axis of the classes of `input`."""
    return per_class.reshape((input.shape[dim],) + (1,) * (input.ndim - dim - 1))


def target_distribution(
    input: Tensor, one_hot: Tensor, counted: Tensor | None, weight: Tensor | None, dim: int, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """The weight q of each class in each sample, shaped like `input`, and the divisor of the mean, Σ w_label.

    q_c = w_label (1 - ε) [c = label] + w_c ε / C, and 0 for the labels that do not count.
    """
    xp, mask = backend.namespace(input.array), one_hot.array
    if counted is not None:
        mask = mask & xp.expand_dims(counted.array, dim)
    w = 1.0 if weight is None else per_class_view(weight, input, dim).array.astype(input.dtype)
    q = xp.where(mask, w, 0.0).astype(input.dtype)
    divisor = q.sum()
    if smoothing:
        spread = w * (smoothing / input.shape[dim])
        q = (1 - smoothing) * q + (
            spread if counted is None else xp.where(xp.expand_dims(counted.array, dim), spread, 0)
        )
    return wrap(q.astype(input.dtype)), wrap(backend.as_array(divisor))


# Checks
def check_operand(name: str, role: str, given: Any, like: Any, shape: tuple[int, ...] | None = None) -> None:
    """Raise unless `given` is a Tensor on the device of the input `like`, and of this shape if one is named."""
    expect_tensor(name, "input", like)
    expect_tensor(name, role, given)
    if type(given.array) is not type(like.array) and given.device != like.device:
        raise RuntimeError(
            f"{name}: expected {role} on {like.device}, got {given.device}; use {role}.to('{like.device}')"
        )
    if shape is not None and given.shape != shape:
        raise ShapeError(f"{name}: expected {role} of shape {shape}, got {given.shape}")


def check_classification_inputs(
    name: str, input: Tensor, target: Tensor, weight: Tensor | None, probabilities: bool = False
) -> int:
    """The axis of the classes in an input (C,) or (N, C, ...). Raises if target or weight do not match it.

    The target has the shape of the input without that axis or, if `probabilities` are allowed, the same shape.
    """
    check_operand(name, "target", target, input)
    shape, given = input.array.shape, target.array.shape
    if not shape or input.array.dtype.kind != "f":
        raise TypeError(f"{name}: expected scores (N, C) of floating point, got {shape} {input.dtype}")
    dim = 0 if len(shape) == 1 else 1
    expected = shape[:dim] + shape[dim + 1 :]
    if given != expected and not (probabilities and given == shape and target.dtype.kind == "f"):
        raise ShapeError(f"{name}: expected labels of shape {expected} for an input of shape {shape}, got {given}")
    if given == expected:
        check_integers(name, target)
    if weight is not None:
        check_operand(name, "weight", weight, input, (shape[dim],))
    return dim


def check_integers(name: str, target: Tensor) -> None:
    """Raise TypeError unless labels are integers."""
    if target.array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integer labels, got dtype {target.dtype}; use target.long()")


def check_labels(
    name: str, target: Tensor, one_hot: Any, num_classes: int, ignore_index: int | None = None
) -> Tensor | None:
    """The mask of the labels that count, or None if all do.

    Raises IndexError for a label that is outside [0, num_classes) and is not ignore_index. Such a label has no True in
    `one_hot`, so one count checks them all.
    """
    labels, noted = target.array, value_range(target)
    valid = noted is not None and noted[0] >= 0 and noted[1] < num_classes  # on a GPU a count would wait for it
    if not valid and int(backend.namespace(labels).count_nonzero(one_hot)) != labels.size:
        bad = (labels < 0) | (labels >= num_classes)
        if ignore_index is not None:
            bad &= labels != ignore_index
        if bad.any():
            first = int(bad.argmax())
            raise IndexError(
                f"{name}: expected labels from 0 to {num_classes - 1}, got {int(labels.ravel()[first])} "
                f"at index {first if labels.ndim < 2 else backend.unravel(first, labels.shape)}"
            )
    elif ignore_index is None or not 0 <= ignore_index < num_classes:
        return None
    return wrap(backend.as_array(labels != ignore_index))


def check_reduction(reduction: str) -> str:
    """The reduction. Raises ValueError for an unknown one."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction: expected 'mean', 'sum' or 'none', got {reduction!r}")
    return reduction


def check_probability(name: str, p: float, role: str = "a probability") -> float:
    """p as a Python float. Raises TypeError or ValueError if it is not a number from 0 to 1."""
    if not isinstance(p, Real):
        raise TypeError(f"{name}: expected {role} from 0 to 1, got {type(p).__name__}")
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: expected {role} from 0 to 1, got {p}")
    return float(p)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        raise left_out("torch.nn.functional", name)
