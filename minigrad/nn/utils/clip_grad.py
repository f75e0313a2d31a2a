"""Gradient clipping: bounds on the gradients before a step of the optimizer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ... import ops
from ...autograd.tensor import Tensor
from ...composed.statistics import norm
from ...creation import tensor


def gradients(parameters: Any) -> list[Tensor]:
    """The gradients of one Tensor or several that have one."""
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale the gradients so that their norm, as of one vector, is at most max_norm; returns the norm before.

    Raises:
        RuntimeError: the norm is nan or inf, and error_if_nonfinite.

    Example:
        >>> import minigrad as mg
        >>> x = mg.ones(4, requires_grad=True)
        >>> (x * 3).sum().backward()
        >>> mg.nn.utils.clip_grad_norm_([x], max_norm=2.0)
        tensor(6.)
        >>> x.grad
        tensor([1., 1., 1., 1.])
    """
    found = gradients(parameters)
    if not found:
        return tensor(0.0)
    total = norm(ops.stack([norm(g.detach(), norm_type) for g in found]), norm_type)
    if error_if_nonfinite and not bool(ops.isfinite(total)):
        raise RuntimeError(f"clip_grad_norm_: expected finite gradients, got a norm of {total.item()}")
    factor = ops.clip(max_norm / (total + 1e-6), max=1.0)
    for g in found:
        g.detach().mul_(factor.to(dtype=g.dtype))
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Clip each element of the gradients to [-clip_value, clip_value]."""
    for g in gradients(parameters):
        g.detach().copy_(ops.clip(g.detach(), -clip_value, clip_value))
