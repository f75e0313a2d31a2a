"""Jacobians and Hessians, one row at a time: reverse mode computes gᵀJ, so row i is the VJP of the unit vector i."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend import namespace
from .methods import OPS
from .tensor import Tensor, grad, wrap


def jacobian(func: Callable[..., Tensor], inputs: Any, create_graph: bool = False) -> Any:
    """The Jacobian dy/dx of y = func(*inputs), for one Tensor as `inputs` or each of a tuple.

    Args:
        func: a function of Tensors that returns one Tensor.
        inputs: x, or a tuple of Tensors.
        create_graph: record the computation, so that the Jacobian can be differentiated.

    Returns:
        A Tensor, or a tuple of them for a tuple of inputs.

    Shape:
        y (m...), x (n...) -> (m..., n...)

    Example:
        >>> import minigrad as mg
        >>> mg.autograd.functional.jacobian(lambda x: x**2, mg.tensor([1.0, 2.0]))
        tensor([[2., 0.],
                [0., 4.]])
    """
    single = isinstance(inputs, Tensor)
    given = (inputs,) if single else tuple(inputs)
    leaves = tuple(OPS["clone"](x) if create_graph and x.requires_grad else wrap(x.array) for x in given)
    for x in leaves:
        x.requires_grad_()
    y = func(*leaves)
    if not isinstance(y, Tensor):
        raise TypeError(f"jacobian: expected one Tensor from func, got {type(y).__name__}")
    flat = OPS["reshape"](y, (-1,))
    rows: list[Any] = []
    for i in range(flat.numel()):
        if flat.requires_grad:
            found = grad(flat[i], leaves, retain_graph=True, create_graph=create_graph, allow_unused=True)
        else:
            found = (None,) * len(leaves)
        rows.append([zeros_like(x) if dx is None else dx for dx, x in zip(found, leaves)])
    blocks = tuple(OPS["reshape"](OPS["stack"](list(block)), y.shape + block[0].shape) for block in zip(*rows))
    return blocks[0] if single else blocks


def hessian(func: Callable[..., Tensor], inputs: Any, create_graph: bool = False) -> Any:
    """The Hessian d²y/dx dx of a scalar y = func(*inputs): the Jacobian of the gradient.

    Args:
        func: a function of Tensors that returns a Tensor of one element.
        inputs: x, or a tuple of Tensors.
        create_graph: record the computation, so that the Hessian can be differentiated.

    Returns:
        A Tensor, or for a tuple of inputs a tuple of tuples of them.

    Shape:
        x (n...) -> (n..., n...)

    Example:
        >>> import minigrad as mg
        >>> mg.autograd.functional.hessian(lambda x: (x**3).sum(), mg.tensor([1.0, 2.0]))
        tensor([[ 6.,  0.],
                [ 0., 12.]])
    """
    if isinstance(inputs, Tensor):
        return jacobian(lambda x: slope(func, (x,), 0), inputs, create_graph)
    n = range(len(inputs))
    return tuple(jacobian(lambda *xs, i=i: slope(func, xs, i), inputs, create_graph) for i in n)


def slope(func: Callable[..., Tensor], xs: tuple[Tensor, ...], i: int) -> Any:
    """dy/dxᵢ, recorded."""
    y = func(*xs)
    if not isinstance(y, Tensor) or y.numel() != 1:
        raise RuntimeError(f"hessian: expected a Tensor of one element from func, got {getattr(y, 'shape', y)}")
    if not y.requires_grad:
        return zeros_like(xs[i])
    (dx,) = grad(y, (xs[i],), create_graph=True, allow_unused=True)
    return zeros_like(xs[i]) if dx is None else dx


def zeros_like(x: Tensor) -> Tensor:
    """0 everywhere, without history."""
    return wrap(namespace(x.array).zeros_like(x.array))
