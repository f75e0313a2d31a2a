"""Function: an op whose backward the user writes, as torch.autograd.Function. `@op` is the shorter way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from weakref import ref

from .. import backend
from .grad_mode import enable_grad, is_grad_enabled, no_grad
from .graph import Node
from .op import Op
from .tensor import Tensor, wrap


class Context:
    """What `forward` keeps for `backward`: `ctx.save_for_backward(x)`, and any attribute, such as `ctx.shape`.

    Attributes:
        needs_input_grad: for each argument of `forward`, whether it requires a gradient.
    """

    _saved: Sequence[Callable[[], Any]] = ()  # the output by a weak reference, which leaves no cycle
    needs_input_grad: tuple[bool, ...]

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep Tensors for `backward`, as `ctx.saved_tensors`."""
        self._saved = [partial(identity, each) for each in tensors]

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The Tensors that were saved."""
        return tuple(saved() for saved in self._saved)

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """No effect: an output of integers has no gradient."""

    def set_materialize_grads(self, value: bool) -> None:
        """No effect: `backward` always gets Tensors."""


def identity(x: Any) -> Any:
    """x"""
    return x


class Function:
    """An op with a backward of your own. A subclass defines two static methods, and is called by `apply`.

    `forward(ctx, *args)` computes one Tensor from Tensors and other values; nothing in it is recorded.
    `backward(ctx, g)` gets g = dL/dy, and returns dL/darg for each argument of forward, None where there is none.
    Under `create_graph=True` the ops of backward are recorded.

    Raises:
        TypeError: forward does not return a Tensor.
        RuntimeError: backward returns another number of gradients, or a gradient of another shape.

    Example:
        >>> import minigrad as mg
        >>> class Square(mg.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         ctx.save_for_backward(x)
        ...         return x * x
        ...
        ...     @staticmethod
        ...     def backward(ctx, g):
        ...         (x,) = ctx.saved_tensors
        ...         return 2 * x * g
        >>> x = mg.tensor(3.0, requires_grad=True)
        >>> Square.apply(x).backward()
        >>> x.grad
        tensor(6.)
    """

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        """The output. Each subclass defines its own."""
        raise NotImplementedError("Function: a subclass defines forward(ctx, ...)")

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """The gradients of the arguments of forward. Each subclass defines its own."""
        raise NotImplementedError("Function: a subclass defines backward(ctx, g)")

    @classmethod
    def apply(cls, *args: Any) -> Tensor:
        """Call `forward`, and record `backward` in the graph."""
        ctx = Context()
        ctx.needs_input_grad = tuple(isinstance(arg, Tensor) and arg.requires_grad for arg in args)
        with no_grad():
            y = cls.forward(ctx, *args)
        if not isinstance(y, Tensor):
            raise TypeError(f"{cls.__name__}: expected one Tensor from forward, got {type(y).__name__}")
        if y.requires_grad or any(y is arg for arg in args):
            y = wrap(y.array)
        if any(ctx.needs_input_grad) and is_grad_enabled() and y.dtype.kind == "f":
            inputs = tuple(arg if isinstance(arg, Tensor) else None for arg in args)
            op: Any = FunctionOp(cls, ctx, inputs)
            ctx._saved = [ref(each) if each is y else partial(identity, each) for each in ctx.saved_tensors]
            y.grad_fn, y._requires_grad = Node(op, inputs, {}, op.vjps(record=False)), True
        return y


class FunctionOp:
    """The part of `Op` that the backward pass uses, for one call of a Function."""

    conform = Op.conform
    variadic = False

    def __init__(self, function: type[Function], ctx: Context, inputs: tuple[Any, ...]) -> None:
        self.function, self.ctx, self.name = function, ctx, function.__name__
        self.arrays = [None if x is None else x.array for x in inputs]
        self.core_ndim = (None,) * len(inputs)  # a gradient must have the shape of its argument

    def differentiable_vjps(self, node: Node) -> Any:
        """The VJPs on Tensors, whose ops are recorded."""
        return self.vjps(record=True)

    def vjps(self, record: bool) -> Any:
        """One VJP for each argument. They share one call of `backward`."""
        latest: list[Any] = [None, None]

        def gradients(g: Any) -> Any:
            if latest[0] is not g:
                with enable_grad() if record else no_grad():
                    found = self.function.backward(self.ctx, g if record else wrap(g))
                found = found if isinstance(found, tuple) else (found,)
                n = len(self.arrays)
                if len(found) < n or any(dx is not None for dx in found[n:]):
                    raise RuntimeError(f"{self.name}: expected {n} gradients from backward, got {len(found)}")
                latest[:] = g, found
            return latest[1]

        def vjp(g: Any, i: int) -> Any:
            dx = gradients(g)[i]
            if dx is None:
                dx = wrap(backend.namespace(self.arrays[i]).zeros_like(self.arrays[i]))
            return dx if record else dx.array

        return [lambda g, i=i: vjp(g, i) for i in range(len(self.arrays))]


def Variable(data: Tensor, requires_grad: bool = False) -> Tensor:
    """The Tensor itself; torch had two classes until 0.4."""
    return data.requires_grad_() if requires_grad else data
