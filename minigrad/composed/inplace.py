"""Methods that write to their Tensor. As `x.add_(y)`, they are not recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import ops
from ..autograd.tensor import Tensor
from . import elementwise, selection
from .arguments import check_tensors

__all__: list[str] = []
SOURCES: dict[str, Callable[..., Tensor]] = {  # x.exp_() is x.copy_(exp(x))
    **{
        f"{name}_": getattr(ops, name)
        for name in ("abs", "exp", "log", "neg", "pow", "sqrt", "relu", "sigmoid", "tanh")
    },
    **{f"{name}_": getattr(ops, name) for name in ("sin", "cos", "floor", "round")},
    **{
        f"{name}_": getattr(elementwise, name)
        for name in ("square", "reciprocal", "rsqrt", "ceil", "trunc", "lerp", "remainder")
    },
    **{f"{name}_": getattr(elementwise, name) for name in ("sign", "clamp_min", "clamp_max", "nan_to_num")},
    **{f"{name}_": getattr(selection, name) for name in ("masked_fill", "scatter", "scatter_add", "index_add")},
    "clamp_": lambda x, *args, **options: x.clip(*args, **options),
    "clip_": lambda x, *args, **options: x.clip(*args, **options),
}


def in_place(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The method that writes the result of a function of a Tensor into it."""

    def method(self: Tensor, *args: Any, **options: Any) -> Tensor:
        return self.copy_(function(self.detach(), *args, **options))

    method.__name__ = name
    method.__doc__ = f"self[...] = self.{name[:-1]}(...); returns self"
    return method


for _name, _function in SOURCES.items():
    globals()[_name] = in_place(_name, _function)


def scatter_(input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None) -> Tensor:
    """x[i, ..., index[i, j, ...], ...] = src[i, j, ...], or a number: `zeros(n, 10).scatter_(1, y.unsqueeze(1), 1)`."""
    return input.copy_(selection.scatter(input.detach(), dim, index, value if src is None else src))


def squeeze_(input: Tensor, dim: Any = None) -> Tensor:
    """Drop axes of size 1 of the Tensor itself, which must not be recorded."""
    return reshape_in_place(input, ops.squeeze(input.detach(), dim=dim))


def unsqueeze_(input: Tensor, dim: int) -> Tensor:
    """Add an axis of size 1 to the Tensor itself, which must not be recorded."""
    return reshape_in_place(input, ops.expand_dims(input.detach(), dim=dim))


def t_(input: Tensor) -> Tensor:
    """Transpose the Tensor itself, which must not be recorded."""
    return reshape_in_place(input, input.detach().T)


def reshape_in_place(input: Tensor, view: Tensor) -> Tensor:
    """Give a leaf another view of its memory."""
    if input.requires_grad:
        raise RuntimeError("in-place change of the shape: expected a Tensor without a gradient; use x = x.squeeze()")
    input.data = view
    return input


def fill_diagonal_(input: Tensor, fill_value: Any) -> Tensor:
    """Write a number on the diagonal of a matrix."""
    n = min(input.shape)
    input[list(range(n)), list(range(n))] = fill_value
    return input


METHODS = [*SOURCES, "squeeze_", "unsqueeze_", "t_", "fill_diagonal_"]


check_tensors(globals())
