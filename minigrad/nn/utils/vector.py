"""All parameters as one vector."""

from __future__ import annotations

from collections.abc import Iterable

from ... import ops
from ...autograd.tensor import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all parameters, (n,).

    Example:
        >>> import minigrad as mg
        >>> mg.nn.utils.parameters_to_vector(mg.nn.Linear(2, 3).parameters()).shape
        (9,)
    """
    return ops.cat([ops.reshape(parameter, (-1,)) for parameter in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write the elements of a vector into the parameters, in their order."""
    start = 0
    for parameter in parameters:
        part = vec.detach()[start : start + parameter.numel()]
        parameter.detach().copy_(ops.reshape(part, parameter.shape))
        start += parameter.numel()
