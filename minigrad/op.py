"""`@op` turns a function of arrays into a function of Tensors that remembers how it was computed.

An op is written as one function of arrays. It returns its output and, for each array that went in, the rule that takes
g = dL/dy to dL/dx of that array. All else that an op needs is here, once: the library is found, devices and dtypes are
made to agree, the result is recorded, and on the way back broadcasting is undone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from numbers import Integral, Real
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from . import anomaly, backend
from .anomaly import watching
from .backend import OWNERS, bool_, float32
from .grad_mode import mode
from .methods import OPS
from .tensor import Node, Tensor, wrap

if TYPE_CHECKING:
    from .tensor import Rule

# minigrad's ops under NumPy's names: what an op sees as `xp` while its gradient is itself recorded.
TENSORS = SimpleNamespace()

NUMPY_SPELLING = {"axis": "dim", "keepdims": "keepdim", "axes": "dims"}


NOTHING: dict[str, Any] = {}  # the static arguments of most ops


class Op:
    """One op: its body, the signature of its shapes, its formula (the docstring), and how its gradient is computed.

    The signature is NumPy's for generalised ufuncs: "(n,k),(k,m)->(n,m)" names the last axes of each array, all axes
    before them broadcast. "..." stands for any axes; where it stands, no array broadcasts: "(...,i),(o,i)->(...,o)".
    """

    def __init__(self, body: Callable[..., Any], signature: str, floating: bool) -> None:
        parameters = list(inspect.signature(body).parameters.values())[1:]
        self.body = body
        self.name = body.__name__
        self.signature = signature
        self.formula = inspect.cleandoc(body.__doc__ or "")
        self.floating = floating
        self.arrays = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
        self.optional = [i for i, p in enumerate(parameters) if p.default is None and p.name in self.arrays]
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.static = tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        self.names = {*self.static}
        axes = [part.split(",") if part else [] for part in signature.split("->")[0][1:-1].split("),(")]
        self.core = [None if "..." in signature else len(names) for names in axes]
        self.takes_number = [not names for names in axes]

    def sort(self, args: tuple[Any, ...], static: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arrays and static arguments of a call, apart: static ones may be positional, and in NumPy's spelling."""
        if len(args) == len(self.arrays) and static.keys() <= self.names:
            return args, static
        static = {NUMPY_SPELLING.get(name, name): value for name, value in static.items()}
        if self.variadic:
            rest = args[1:] if args and isinstance(args[0], (list, tuple)) else ()
            args = tuple(args[0]) if args and isinstance(args[0], (list, tuple)) else args
        else:
            args, rest = args[: len(self.arrays)], args[len(self.arrays) :]
            named = [static.pop(name) for name in self.arrays[len(args) :] if name in static]
            args = (*args, *named)
        if len(rest) > len(self.static):
            raise TypeError(f"{self.name}: got {len(rest) - len(self.static)} arguments too many")
        return args, {**dict(zip(self.static, rest)), **static}

    def agree(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments on one device and in one dtype, by torch's rules of promotion; a cast is recorded.

        Raises TypeError for what is neither Tensor nor number, RuntimeError for Tensors on two devices.
        """
        args = tuple(arg if isinstance(arg, Tensor) else self.plain(i, arg) for i, arg in enumerate(args))
        tensors = [arg for arg in args if isinstance(arg, Tensor)]
        if not tensors:
            raise TypeError(
                f"{self.name}: expected a Tensor, got {', '.join(type(arg).__name__ for arg in args) or 'none'}"
            )
        for tensor in tensors:
            if tensor.device != tensors[0].device:
                raise RuntimeError(
                    f"{self.name}: expected Tensors on one device, got {tensors[0].device} and {tensor.device}; "
                    f"write x.to('{tensor.device}')"
                )
        fraction = any(isinstance(arg, float) for arg in args)
        numeric = tensors if self.floating else [tensor for tensor in tensors if tensor.dtype != bool_]
        if not numeric:  # bool alone: a fraction beside it is float32, where NumPy would choose float64
            xp = OWNERS[type(tensors[0].array)].xp
            single = lambda arg: wrap(xp.asarray(arg, dtype=float32)) if isinstance(arg, float) else arg
            return backend.QUIET.copy().run(tuple, map(single, args))  # 1e300 is inf, without a warning
        target = backend.promote([tensor.shape for tensor in numeric], [tensor.dtype for tensor in numeric])
        if target.kind != "f" and (self.floating or fraction):
            target = float32
        cast = {id(tensor) for tensor in numeric if tensor.dtype != target}
        return tuple(arg.to(dtype=target) if id(arg) in cast else arg for arg in args)

    def plain(self, position: int, arg: Any) -> Any:
        """A number as a Python number, which takes the dtype of the Tensor it meets; None where that is allowed."""
        if arg is None and position in self.optional:
            return arg
        takes_number = self.takes_number[0 if self.variadic else position]
        if takes_number and isinstance(arg, bool):
            return arg
        if takes_number and isinstance(arg, Integral):
            return int(arg)
        if takes_number and isinstance(arg, Real):
            return float(arg)
        wanted = "Tensors or numbers" if takes_number else "a Tensor"
        raise TypeError(f"{self.name}: expected {wanted}, got {type(arg).__name__}; write tensor(...)")

    def explain(self, error: Exception, arrays: Sequence[Any]) -> Exception:
        """An error of the array library, with the op and what went in."""
        kind = next((kind for kind in (IndexError, TypeError) if isinstance(error, kind)), ValueError)
        given = ", ".join(f"{a.shape} {a.dtype}" if hasattr(a, "shape") else repr(a) for a in arrays)
        return kind(f"{self.name}: {error} (got {given})")

    def refuse_gradient(self, args: tuple[Any, ...], rules: Sequence[Rule | None]) -> None:
        """Raise TypeError if a gradient is required for an argument that has none."""
        for name, arg, rule in zip(self.arrays, args, rules):
            if rule is None and isinstance(arg, Tensor) and arg.requires_grad:
                raise TypeError(f"{self.name}: has no gradient for `{name}`; write {name}.detach()")

    def rules_on_tensors(self, node: Node) -> Sequence[Rule | None]:
        """The rules of a node, for Tensors in place of arrays: what they do is recorded, and can be differentiated."""
        return self.body(TENSORS, *node.inputs, **node.static)[1]

    def fit(self, dx: Any, x: Tensor, position: int) -> Any:
        """What a rule gave, as the gradient of x: broadcasting undone. Raises RuntimeError for other shapes, dtypes."""
        dx = backend.as_array(dx)
        core = None if self.variadic else self.core[position]
        if dx.shape != x.shape and core is not None:
            dx = unbroadcast(dx, x.shape, core)
        if dx.shape != x.shape or dx.dtype != x.dtype:
            raise RuntimeError(
                f"{self.name}: its rule for argument {position} gave a gradient {dx.shape} {dx.dtype}, "
                f"expected {x.shape} {x.dtype}"
            )
        return dx


def unbroadcast(g: Any, shape: tuple[int, ...], core: int) -> Any:
    """Undo broadcasting: an element that was used many times gets the sum of its gradients.

    Sums g over the axes that broadcasting added or stretched, all but the last `core`, so that g.shape becomes `shape`.
    """
    added = g.ndim - len(shape)
    loop = max(len(shape) - core, 0)
    stretched = (added + i for i in range(loop) if shape[i] == 1 != g.shape[added + i])
    axes = (*range(added), *stretched)
    return g.sum(axis=axes, keepdims=True).reshape(shape) if axes else g


def op(signature: str, *, floating: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make an op of `body(xp, *arrays, **static) -> (output, rules)` and enter it in OPS under the body's name.

    `xp` is the library that owns the arrays. Positional parameters are arrays, keyword-only ones are static. A rule
    maps dL/doutput to dL/dargument, of the shape it has after broadcasting; it returns a fresh array, its argument, or
    a view of it. None as a rule: that argument has no gradient. No rules at all, `()`: the output has none. With
    `floating`, integers come in as float32.

        @op("()->()")
        def square(xp, x):
            "y = x²        dL/dx = 2 x g"
            return x * x, (lambda g: 2 * x * g,)
    """

    def decorate(body: Callable[..., Any]) -> Callable[..., Any]:
        self = Op(body, signature, floating)
        fixed = len(self.arrays) if not self.variadic else 0
        numbers = (int, float) if all(self.takes_number) else ()  # what is taken as it is, beside Tensors
        quiet = backend.QUIET.copy

        @wraps(body)
        def apply(*args: Any, **static: Any) -> Any:
            if static or len(args) > fixed:
                args, static = self.sort(args, static)
            owner: Any = None
            dtype: Any = None
            recorded, agreed = False, True
            arrays = []
            for arg in args:
                if isinstance(arg, Tensor):
                    array = arg.array
                    arrays.append(array)
                    if arg._requires_grad:
                        recorded = True
                    if array.dtype is not dtype or type(array) is not owner:
                        if owner is None:
                            owner, dtype = type(array), array.dtype
                        elif type(array) is not owner or array.dtype is not bool_:
                            agreed = False  # a mask, bool, needs no cast
                else:
                    arrays.append(arg)
                    if type(arg) not in numbers:
                        agreed = False
            if not agreed or owner is None or dtype.kind != "f":
                args = self.agree(args)
                arrays = [arg.array if isinstance(arg, Tensor) else arg for arg in args]
            try:
                output, rules = quiet().run(body, OWNERS[owner].xp, *arrays, **static)
            except (ValueError, IndexError, TypeError, OverflowError) as error:
                raise self.explain(error, arrays) from error
            if type(output) is not owner:
                output = backend.as_array(output)
            node = None
            if recorded and rules and mode.recording:
                if None in rules:
                    self.refuse_gradient(args, rules)
                node = Node(self, args, static or NOTHING, rules)
            if watching and anomaly.is_watched():
                anomaly.inspect_op(self, args, output, node)
            return wrap(output, node)

        parameters = list(inspect.signature(body).parameters.values())[1:]
        flexible = [p.replace(kind=p.POSITIONAL_OR_KEYWORD) if p.kind is p.KEYWORD_ONLY else p for p in parameters]
        apply.__signature__ = inspect.Signature(parameters if self.variadic else flexible)  # type: ignore[attr-defined]
        apply.op = self  # type: ignore[attr-defined]
        OPS[self.name] = apply
        setattr(TENSORS, self.name, apply)
        return apply

    return decorate
