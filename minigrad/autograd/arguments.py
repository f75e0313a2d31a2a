"""The arguments of a call: bound to the parameters of an op, unwrapped to arrays, promoted to one device and dtype.

The body of an op gets arrays of one library and, apart from bool masks, of one dtype. This file makes any call so, and
explains the calls that cannot be.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from .. import backend
from ..backend import LIBRARY_OF_TYPE, bool_, float32
from .errors import ShapeError
from .tensor import Tensor, wrap

if TYPE_CHECKING:
    from .op import Op

# Other names of options: NumPy's, and those that torch gives to one op only.
OPTION_ALIASES = {
    "axis": "dim",
    "keepdims": "keepdim",
    "axes": "dims",
    "size": "shape",
    "axis0": "dim0",
    "axis1": "dim1",
}
# torch's names of arrays, each with the parameters that it may stand for; else the position.
TORCH_NAMES = {
    "input": ("x", "a"),
    "other": ("b",),
    "mat2": ("b",),
    "exponent": ("p",),
    "weight": ("w",),
    "bias": ("b",),
}
TAKES_DTYPE = {"sum", "mean", "softmax", "log_softmax"}
TORCH_POSITIONS = {"input": 0, "self": 0, "tensors": 0, "other": 1}


def bind(op: Op, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Split the arguments of a call into arrays and options.

    Options may be positional, and may have NumPy's names (axis, keepdims). Arrays may be keywords, by the op's names or
    torch's (input, other). Raises TypeError for unknown, repeated or surplus arguments.
    """
    if len(args) == len(op.array_names) and kwargs.keys() <= op.option_set:
        return args, kwargs
    if kwargs.keys() & OPTION_ALIASES.keys():
        kwargs = {
            OPTION_ALIASES[name] if OPTION_ALIASES.get(name) in op.option_set else name: value
            for name, value in kwargs.items()
        }
    named: dict[int, Any] = {}
    for name in [*kwargs]:
        position = position_of(op, name)
        if position is not None and name not in op.option_set and position < max(len(op.array_names), op.variadic):
            if position < len(args) or position in named:
                raise TypeError(f"{op.name}: got `{name}` twice, by position and by name")
            named[position] = kwargs.pop(name)
    for position in sorted(named):
        if position > len(args):
            raise TypeError(
                f"{op.name}: missing argument `{op.array_names[len(args)]}`; the arguments are {signature_text(op)}"
            )
        args = (*args, named[position])
    args, kwargs = apply_torch_options(op, args, kwargs)
    if op.variadic:
        rest = args[1:] if args and isinstance(args[0], (list, tuple)) else ()
        args = tuple(args[0]) if args and isinstance(args[0], (list, tuple)) else args
    else:
        args, rest = args[: len(op.array_names)], args[len(op.array_names) :]
    if len(rest) > len(op.options):
        raise TypeError(f"{op.name}: got {len(rest) - len(op.options)} more arguments than {signature_text(op)} takes")
    for name in kwargs:
        if name not in op.option_set:
            raise TypeError(f"{op.name}: unknown argument {name!r}; the arguments are {signature_text(op)}")
    for name, _ in zip(op.options, rest):
        if name in kwargs:
            raise TypeError(f"{op.name}: got `{name}` twice, by position and by name")
    return args, {**dict(zip(op.options, rest)), **kwargs}


def position_of(op: Op, name: str) -> int | None:
    """The position of the array that a keyword stands for, by the op's name or torch's; None if there is none."""
    for parameter in (name, *TORCH_NAMES.get(name, ())):
        if parameter in op.array_names:
            return op.array_names.index(parameter)
    return TORCH_POSITIONS.get(name)


def apply_torch_options(op: Op, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Replace the options of torch that are another op on an argument.

    add(a, b, alpha=2) is add(a, 2 b), and sum(x, dtype=float64) is sum(x.to(float64)).
    """
    if "alpha" in kwargs and op.name in ("add", "sub") and len(args) == 2:
        kwargs = {**kwargs}
        alpha = kwargs.pop("alpha")
        dtypes = [arg.dtype for arg in args if isinstance(arg, Tensor)]
        kinds = {bool: "biuf", int: "iuf"}.get(type(alpha), "f")
        if not isinstance(alpha, Real) or not any(dtype.kind in kinds for dtype in dtypes):
            raise TypeError(
                f"{op.name}: expected a number of the dtype {', '.join(map(str, dtypes))} as alpha, got {alpha!r}"
            )
        return (args[0], args[1] * alpha), kwargs
    if "dtype" in kwargs and op.name in TAKES_DTYPE and args and isinstance(args[0], Tensor):
        kwargs = {**kwargs}
        dtype = kwargs.pop("dtype")
        if dtype is not None and op.float_only and backend.dtype_of(dtype).kind != "f":
            raise TypeError(f"{op.name}: expected float32 or float64 as dtype, got {dtype}")
        return (args[0].to(dtype=dtype), *args[1:]), kwargs
    return args, kwargs


def signature_text(op: Op) -> str:
    """The parameters of an op: `softmax(x, dim)`."""
    arrays = ["*tensors"] if op.variadic else op.array_names
    return f"{op.name}({', '.join((*arrays, *op.options))})"


def unwrap(args: tuple[Any, ...], numbers: tuple[type, ...] | None) -> tuple[list[Any], Any, bool]:
    """The arrays of the Tensors in `args`, their namespace `xp`, and whether one of them requires a gradient.

    `xp` is None if the arguments must be promoted first: Tensors of two devices or dtypes (bool masks may stand beside
    others), Tensors of integers, objects of other types than `numbers`. Without `numbers` none have to be.
    """
    arrays: list[Any] = []
    kind: Any = None
    dtype: Any = None
    requires_grad, uniform = False, True
    for arg in args:
        if isinstance(arg, Tensor):
            array = arg.array
            arrays.append(array)
            if arg._requires_grad:
                requires_grad = True
            if array.dtype is not dtype or type(array) is not kind:
                if kind is None:
                    kind, dtype = type(array), array.dtype
                elif type(array) is not kind or array.dtype is not bool_:
                    uniform = False
        else:
            arrays.append(arg)
            if numbers is not None and type(arg) not in numbers:
                uniform = False
    if kind is None or (numbers is not None and not (uniform and dtype.kind == "f")):
        return arrays, None, requires_grad
    return arrays, LIBRARY_OF_TYPE[kind].xp, requires_grad


def promote(op: Op, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments on one device and in one dtype, by torch's rules of type promotion. Casts are recorded.

    Raises TypeError for arguments that are neither Tensors nor numbers, RuntimeError for Tensors on two devices.
    """
    args = tuple(arg if isinstance(arg, Tensor) else to_python_number(op, i, arg) for i, arg in enumerate(args))
    tensors = [arg for arg in args if isinstance(arg, Tensor)]
    if not tensors:
        given = ", ".join(type(arg).__name__ for arg in args) or "none"
        raise TypeError(f"{op.name}: expected a Tensor, got {given}; the arguments are {signature_text(op)}")
    for tensor in tensors:
        if tensor.device != tensors[0].device:
            raise RuntimeError(
                f"{op.name}: expected Tensors on one device, got {tensors[0].device} and {tensor.device}; "
                f"use x.to('{tensor.device}')"
            )
    any_float = any(isinstance(arg, float) for arg in args)
    numeric = tensors if op.float_only else [tensor for tensor in tensors if tensor.dtype != bool_]
    if not numeric:  # bool Tensors alone: a Python float beside them is float32, where NumPy would choose float64
        xp = backend.namespace(tensors[0].array)
        single = lambda arg: wrap(xp.asarray(arg, dtype=float32)) if isinstance(arg, float) else arg
        return backend.ignore_fp_warnings(tuple, map(single, args))  # 1e300 becomes inf
    if op.one_dtype and len({tensor.dtype for tensor in tensors}) > 1:
        given = " and ".join(str(tensor.dtype) for tensor in tensors)
        raise RuntimeError(f"{op.name}: expected Tensors of one dtype, got {given}; use x.to(dtype=w.dtype)")
    target = backend.promote([tensor.shape for tensor in numeric], [tensor.dtype for tensor in numeric])
    if target.kind != "f" and (op.float_only or any_float):
        target = float32
    cast = {id(tensor) for tensor in numeric if tensor.dtype != target}
    return tuple(arg.to(dtype=target) if id(arg) in cast else arg for arg in args)


def to_python_number(op: Op, position: int, arg: Any) -> Any:
    """A number as a Python number, which takes the dtype of the Tensor beside it; None if the argument is optional."""
    if arg is None and position in op.optional_positions:
        return arg
    accepts_number = op.accepts_number[0 if op.variadic else position]
    if accepts_number and isinstance(arg, bool):
        return arg
    if accepts_number and isinstance(arg, Integral):
        return int(arg)
    if accepts_number and isinstance(arg, Real):
        return float(arg)
    expected = "Tensors or numbers" if accepts_number else "a Tensor"
    raise TypeError(f"{op.name}: expected {expected}, got {type(arg).__name__}; use tensor(...)")


def with_context(op: Op, error: Exception, arrays: Sequence[Any], options: dict[str, Any]) -> Exception:
    """An error from the body of an op, with the op's name, the reason if it lies in the shapes, and the arguments."""
    shapes = [getattr(array, "shape", None) for array in arrays]
    if isinstance(error, TypeError):
        missing = [name for name in op.required_options if name not in options]
        if missing:
            return TypeError(f"{op.name}: missing argument `{missing[0]}`{hint(missing[0], shapes)}")
        missing = [*op.array_names[len(arrays) : min(op.optional_positions, default=len(op.array_names))]]
        if missing:
            return TypeError(f"{op.name}: missing argument `{missing[0]}`; the arguments are {signature_text(op)}")
    reason = shape_mismatch(op, shapes) if isinstance(error, ValueError) and not isinstance(error, ShapeError) else ""
    if reason:
        return ShapeError(f"{op.name}: {reason}")
    kinds = (ShapeError, IndexError, TypeError)
    kind = next((kind for kind in kinds if isinstance(error, kind)), ValueError)
    given = ", ".join(f"{a.shape} {a.dtype}" if hasattr(a, "shape") else repr(a) for a in arrays)
    return kind(f"{op.name}: {error} (got {given})")


def hint(option: str, shapes: Sequence[Any]) -> str:
    """What to pass as a missing option."""
    shape = next((shape for shape in shapes if shape is not None), ())
    if option != "dim" or not shape:
        return ""
    return f", the axis to work along: dim={len(shape) - 1} (or -1) is the last axis of shape {shape}"


def shape_mismatch(op: Op, shapes: Sequence[Any]) -> str:
    """Which axes of these arrays disagree with the op's signature; empty if none do."""
    if op.variadic or None in op.core_ndim:
        return ""
    given = (" @ " if op.name == "matmul" else " and ").join(str(shape) for shape in shapes if shape is not None)
    sizes: dict[str, int] = {}
    broadcast: list[tuple[int, ...]] = []  # the axes before the core dimensions
    for position, (names, shape) in enumerate(zip(op.core_names, shapes)):
        if shape is None:
            continue
        if len(shape) < len(names):  # matmul: a vector is one row as the first array, one column as the second
            names = names[-1:] if position == 0 else names[:1]
        for name, size in zip(names, shape[len(shape) - len(names) :]):
            if sizes.setdefault(name, size) != size:
                expected = " @ ".join(f"(..., {', '.join(core)})" for core in op.core_names)
                return f"{given}: inner dimensions differ, {sizes[name]} and {size}; expected {expected}"
        broadcast.append(shape[: len(shape) - len(names)])
    core_ndim = len(op.core_names[0])
    for first, second in combinations(broadcast, 2):
        for back in range(1, min(len(first), len(second)) + 1):
            if first[-back] != second[-back] and 1 not in (first[-back], second[-back]):
                return (
                    f"shapes {given} do not broadcast: in axis {-back - core_ndim} the lengths are {first[-back]} and "
                    f"{second[-back]}, and neither is 1"
                )
    return ""
