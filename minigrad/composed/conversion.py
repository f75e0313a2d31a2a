"""Dtypes, layouts, and questions about a Tensor."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..autograd.tensor import Tensor
from ..legacy_types import TYPES
from .arguments import check_tensors

__all__: list[str] = []
METHODS = ["is_cuda", "itemsize", "mT", "nbytes", "stride", "where"]
METHODS += [
    "contiguous",
    "detach_",
    "element_size",
    "is_contiguous",
    "is_floating_point",
    "nelement",
    "type",
    "type_as",
]


def type(input: Tensor, dtype: Any = None) -> Any:
    """The name of the old type, as "torch.FloatTensor"; with `dtype` a cast to it, or to an old type."""
    if dtype is None:
        return next(f"torch.{each.name}" for each in TYPES if each.dtype == input.dtype)
    named = [each.dtype for each in TYPES if dtype == f"torch.{each.name}"]
    return input.to(dtype=named[0] if named else getattr(dtype, "dtype", dtype))


def type_as(input: Tensor, other: Tensor) -> Tensor:
    """A cast to the dtype of another Tensor."""
    return input.to(dtype=other.dtype)


def contiguous(input: Tensor) -> Tensor:
    """The Tensor itself, as no op of minigrad needs a certain layout."""
    return input


def is_contiguous(input: Tensor) -> bool:
    """Whether the elements lie in memory in row-major order."""
    return input.array.flags.c_contiguous


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is float32 or float64."""
    return input.dtype.kind == "f"


def stride(input: Tensor, dim: int | None = None) -> Any:
    """The steps between neighbours along each axis, or one, in elements."""
    steps = tuple(n // input.dtype.itemsize for n in input.array.strides)
    return steps if dim is None else steps[dim]


def where(input: Tensor, condition: Tensor, other: Any) -> Tensor:
    """x where the condition is True, else `other`."""
    return ops.where(condition, input, other)


is_cuda = property(lambda input: input.device.type == "cuda", doc="Whether the device is a CUDA device.")
itemsize = property(lambda input: input.dtype.itemsize, doc="The number of bytes of an element.")
nbytes = property(lambda input: input.array.nbytes, doc="The number of bytes of the elements.")
mT = property(lambda input: ops.transpose(input, -2, -1), doc="The last two axes exchanged.")


def element_size(input: Tensor) -> int:
    """The number of bytes of an element."""
    return input.dtype.itemsize


def nelement(input: Tensor) -> int:
    """The number of elements."""
    return input.numel()


def detach_(input: Tensor) -> Tensor:
    """Cut the Tensor off its history, in place."""
    input.grad_fn, input._requires_grad = None, False
    return input


check_tensors(globals())
