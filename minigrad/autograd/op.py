"""`@op`: write an op as a function of arrays, use it as a function of Tensors.

The body of an op returns the output y and, for each input array, its VJP: the function that maps g = dL/dy to dL/dx.
Everything else is done here, once for every op. A call has five steps:

    bind      arguments -> arrays and options (only if there are options)
    unwrap    Tensors -> arrays, and the namespace `xp` of their library, NumPy or CuPy
    promote   arrays of different dtypes -> one dtype (only if needed)
    run       the body computes y and the VJPs
    record    a Node joins the graph, if an input requires a gradient

The body computes with broadcasting, and so may return gradients of the broadcast shape. In the backward pass, `conform`
sums them to the shape of the input. A VJP written here is what torch has in derivatives.yaml, and HIPS autograd in
`defvjp`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from types import SimpleNamespace
from typing import Any

from ..backend import LIBRARY_OF_TYPE, as_array, copy_ignoring_context, namespace
from .arguments import bind, promote, unwrap, with_context
from .grad_mode import current_monitor, is_grad_enabled, monitors, state
from .graph import VJP, Node
from .methods import OPS
from .op_description import OpDescription
from .tensor import Tensor, wrap


class TensorNamespace(SimpleNamespace):
    """minigrad's ops under NumPy's names: the array namespace `xp` of Tensors.

    The body of an op calls `xp.exp(x)` and `x * y`. With NumPy as `xp` it computes arrays. With this namespace the same
    body computes Tensors, so the calls of its VJPs are recorded like any other computation and can be differentiated
    themselves. One formula thus serves gradients of every order, as `create_graph=True` needs them.
    """


tensor_namespace = TensorNamespace()


class Op(OpDescription):
    """One op: its description, and what the backward pass needs from it."""

    def check_differentiable(self, args: tuple[Any, ...], vjps: Sequence[VJP | None]) -> None:
        """Raise TypeError if an argument requires a gradient but has no VJP."""
        for name, arg, vjp in zip(self.array_names, args, vjps):
            if vjp is None and isinstance(arg, Tensor) and arg.requires_grad:
                raise TypeError(f"{self.name}: not differentiable with respect to `{name}`; use {name}.detach()")

    def differentiable_vjps(self, node: Node) -> Sequence[VJP | None]:
        """The VJPs of a node for gradients of gradients: the body runs again, on the Tensors themselves."""
        return self.body(tensor_namespace, *node.inputs, **node.kwargs)[1]

    def conform(self, dx: Any, x: Tensor, position: int) -> Any:
        """The result of a VJP with the shape of x: broadcasting is undone here, so that no VJP has to.

        Raises RuntimeError if its shape or dtype still differs from that of x.
        """
        dx, array = as_array(dx), x.array
        if dx.shape != array.shape:
            core_ndim = None if self.variadic else self.core_ndim[position]
            if core_ndim is not None:
                dx = unbroadcast(dx, array.shape, core_ndim)
        if dx.shape != array.shape or dx.dtype != array.dtype:
            raise RuntimeError(
                f"{self.name}: its VJP for argument {position} returned a gradient {dx.shape} {dx.dtype}, "
                f"expected {x.shape} {x.dtype}"
            )
        return dx


def unbroadcast(g: Any, shape: tuple[int, ...], core_ndim: int) -> Any:
    """Sum g over the axes that broadcasting added or stretched, so that its shape becomes `shape`.

    A broadcast element was used many times, so its gradient is a sum. The last `core_ndim` axes do not broadcast.
    """
    added = g.ndim - len(shape)
    broadcast_ndim = max(len(shape) - core_ndim, 0)
    stretched = (added + i for i in range(broadcast_ndim) if shape[i] == 1 and g.shape[added + i] != 1)
    axes = (*range(added), *stretched)
    if not axes:
        return g
    xp = tensor_namespace if isinstance(g, Tensor) else namespace(g)
    return xp.sum(g, axis=axes, keepdims=True).reshape(shape)


def op(
    signature: str, *, float_only: bool = False, one_dtype: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Tensor]]:
    """Make an op of `body(xp, *arrays, **options) -> (output, vjps)` and register it in OPS under the body's name.

    Args:
        signature: the shapes, in NumPy's notation for generalised ufuncs: "(),()->()" is elementwise, and
            "(n,k),(k,m)->(n,m)" a matrix product; see `OpDescription`.
        float_only: promote integer arguments to float32.
        one_dtype: raise TypeError for arguments of different dtypes, as torch's matrix products, instead of promoting.

    Raises:
        ValueError: another module has an op of this name.

    The body's positional parameters are arrays, its keyword-only ones are options. `xp` is the library of the arrays. A
    VJP maps g = dL/dy to dL/dx, which may still have the broadcast shape. It returns either a new array, or g itself,
    or a view of g. Use None for an input that is not differentiable, and `()` in place of the VJPs if the output is not
    differentiable at all.

    Example:
        >>> import minigrad as mg
        >>> @mg.op("()->()")
        ... def cube(xp, x):
        ...     '''y = x³
        ...
        ...     Gradients:
        ...         dL/dx = 3 x² g
        ...     '''
        ...     return x * x * x, (lambda g: 3 * x * x * g,)
        >>> x = mg.tensor(2.0, requires_grad=True)
        >>> cube(x).backward()
        >>> x.grad
        tensor(12.)
    """

    def decorate(body: Callable[..., Any]) -> Callable[..., Tensor]:
        self = Op(body, signature, float_only, one_dtype)
        existing = OPS.get(self.name)  # of the same module: a body that was edited and run again
        if existing is not None and existing.op.body.__module__ != body.__module__:  # type: ignore[attr-defined]
            raise ValueError(f"op: the name {self.name!r} is taken by an op of {existing.__module__}; choose another")
        max_positional = len(self.array_names) if not self.variadic else 0
        numbers = (int, float) if all(self.accepts_number) else ()  # accepted alongside Tensors

        @wraps(body)
        def apply(*args: Any, **options: Any) -> Tensor:
            if options or len(args) > max_positional:
                args, options = bind(self, args, options)
            arrays, xp, requires_grad = unwrap(args, numbers)
            if xp is None:  # the dtypes differ
                args = promote(self, args)
                arrays, xp, requires_grad = unwrap(args, None)
            try:
                y, vjps = copy_ignoring_context().run(body, xp, *arrays, **options)
            except (ValueError, IndexError, TypeError, OverflowError) as error:
                raise with_context(self, error, arrays, options) from error
            node = None
            if requires_grad and vjps and (state.grad_block is None or is_grad_enabled()):
                if None in vjps:
                    self.check_differentiable(args, vjps)
                node = Node(self, args, options, vjps)
            if type(y) not in LIBRARY_OF_TYPE:
                y = as_array(y)
            if monitors and (monitor := current_monitor()):
                monitor.check_op(self, args, y, node)
            return wrap(y, node)

        parameters = list(inspect.signature(body).parameters.values())[1:]
        flexible = [p.replace(kind=p.POSITIONAL_OR_KEYWORD) if p.kind is p.KEYWORD_ONLY else p for p in parameters]
        apply.__signature__ = inspect.Signature(parameters if self.variadic else flexible)  # type: ignore[attr-defined]
        apply.op = self  # type: ignore[attr-defined]
        OPS[self.name] = apply
        setattr(tensor_namespace, self.name, apply)
        return apply

    return decorate
