"""The adapter: a description of an autograd engine in a few lines, for the checks.

    from minigrad.testing.conformance import OPERATORS, Engine, methods

    class MyEngine(Engine):
        name = "my engine 0.1"
        ops = {**OPERATORS, **methods("exp", "relu"), "sum": lambda x, dim, keepdim: x.sum(dim, keepdim)}

        def tensor(self, array):
            return Tensor(array)

The rest has defaults for the usual names: `x.data`, `x.grad`, `y.backward()`. What an engine lacks is left out, or
raises NotImplementedError: it is reported as missing, not as failed.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NoReturn

from ... import backend

np = backend.numpy
Array = Any  # a NumPy array
AnyTensor = Any  # a tensor of the engine


class Engine:
    """An autograd engine, as the checks use it.

    The ops, by name, take tensors and then their options, by position:

    | ops | called as |
    |---|---|
    | add, sub, mul, div, maximum, minimum, matmul, mse_loss | `op(a, b)` |
    | neg, exp, log, sqrt, tanh, sigmoid, relu, abs, softplus | `op(x)` |
    | pow | `op(x, number)` |
    | clip | `op(x, min, max)` |
    | where | `op(condition, a, b)`, a bool array first |
    | sum, mean, prod, amax, amin, logsumexp | `op(x, dim, keepdim)`; dim is None, an int or a tuple |
    | softmax, log_softmax, expand_dims | `op(x, dim)` |
    | reshape, broadcast_to | `op(x, shape)` |
    | transpose | `op(x, dim0, dim1)` |
    | permute | `op(x, dims)` |
    | getitem | `op(x, index)` |
    | cat, stack | `op(tensors, dim)` |
    | linear | `op(x, weight, bias)`, weight of shape (out, in) |
    | cross_entropy | `op(scores, labels)`, an int array of shape (N,); the mean |
    | binary_cross_entropy_with_logits | `op(scores, targets)`, an array; the mean |

    Attributes:
        name: with the version, for the report.
        ops: the ops that the engine has.
        dtype: of the arrays that it gets.
        scalar: whether it computes with numbers only, as micrograd does; it then gets arrays of shape ().
        rtol: the relative error that is allowed; 1e-9, or if dtype is "float32" 1e-4.
    """

    name = ""
    ops: Mapping[str, Callable[..., AnyTensor]] = {}
    dtype = "float64"
    scalar = False
    rtol = 1e-9

    def __init_subclass__(cls) -> None:
        if cls.dtype == "float32" and cls.rtol == Engine.rtol:
            cls.rtol = 1e-4

    def tensor(self, array: Array) -> AnyTensor:
        """A leaf that gets a gradient."""
        raise NotImplementedError("tensor")

    def constant(self, array: Array) -> AnyTensor:
        """What ops take for data that gets no gradient."""
        return self.tensor(array)

    def value(self, x: AnyTensor) -> Array:
        """The elements of a tensor."""
        return x.data

    def grad(self, x: AnyTensor) -> Array | None:
        """The gradient of a leaf; None if there is none."""
        return x.grad

    def backward(self, y: AnyTensor, g: Array) -> None:
        """Run the backward pass from y with dL/dy = g, an array of y's shape.

        By default `backward()` of the scalar L = Σ g · y.
        """
        self.weighted_sum(y, g).backward()

    def weighted_sum(self, y: AnyTensor, g: Array) -> AnyTensor:
        """Σ g · y by the engine's own ops: for engines whose `backward` starts from a scalar."""
        product = self.ops["mul"](y, self.constant(g))
        return product if self.scalar else self.ops["sum"](product, None, False)

    def vjp(
        self, function: Callable[..., AnyTensor], arrays: Sequence[Array], cotangent: Callable[[Array], Array]
    ) -> tuple[Array, list[Array | None]]:
        """The value y of a function of tensors, and dL/dx for each array, where dL/dy = cotangent(y).

        An engine that differentiates functions, as JAX does, overrides this, and leaves out `tensor`.
        """
        xs = [self.tensor(array.copy()) for array in arrays]
        y = function(*xs)
        value = self.value(y)
        self.backward(y, cotangent(value))
        return value, [self.grad(x) for x in xs]

    def gradient_function(self, function: Callable[[AnyTensor], AnyTensor]) -> Callable[[AnyTensor], AnyTensor]:
        """x -> dy/dx for a scalar y = function(x), as a tensor that can be differentiated again."""
        raise NotImplementedError("gradient_function")

    def set_value(self, x: AnyTensor, array: Array) -> None:
        """Overwrite the elements of a tensor in place."""
        raise NotImplementedError("set_value")

    def reset(self, x: AnyTensor) -> None:
        """Reset the gradient of a leaf: to zeros if it is a number or an array, else to None."""
        x.grad = x.grad * 0 if isinstance(x.grad, (int, float, np.ndarray)) else None

    def no_grad(self) -> AbstractContextManager[Any]:
        """The context in which no graph is recorded."""
        raise NotImplementedError("no_grad")

    def sgd(self, params: list[AnyTensor], lr: float, momentum: float) -> Any:
        """An optimizer with `step()`."""
        raise NotImplementedError("sgd")

    def adam(self, params: list[AnyTensor], lr: float) -> Any:
        """An optimizer with `step()`; β = 0.9 and 0.999, ε = 1e-8."""
        raise NotImplementedError("adam")


def missing(what: str) -> NoReturn:
    """For an op that takes some options only: the others are reported as missing."""
    raise NotImplementedError(what)


def method(name: str) -> Callable[..., AnyTensor]:
    """The op that calls this method of its first argument."""

    def call(x: AnyTensor, *args: Any) -> AnyTensor:
        if not hasattr(x, name):
            raise NotImplementedError(name)
        return getattr(x, name)(*args)

    return call


def methods(*names: str) -> dict[str, Callable[..., AnyTensor]]:
    """Ops that are methods of the same name; one that a tensor does not have is missing."""
    return {name: method(name) for name in names}


def python_operator(name: str, function: Callable[..., AnyTensor]) -> Callable[..., AnyTensor]:
    """An operator of Python; missing where the class of the first argument does not define it."""

    def call(*args: AnyTensor) -> AnyTensor:
        if not hasattr(type(args[0]), name):
            raise NotImplementedError(name)
        return function(*args)

    return call


OPERATORS: dict[str, Callable[..., AnyTensor]] = {
    "add": python_operator("__add__", operator.add),
    "sub": python_operator("__sub__", operator.sub),
    "mul": python_operator("__mul__", operator.mul),
    "div": python_operator("__truediv__", operator.truediv),
    "neg": python_operator("__neg__", operator.neg),
    "pow": python_operator("__pow__", operator.pow),
    "matmul": python_operator("__matmul__", operator.matmul),
    "getitem": python_operator("__getitem__", operator.getitem),
}
