"""A fake GPU that runs on any CPU and is as strict as CuPy: it shows that minigrad never mixes host and device arrays.

A `StrictArray` wraps a NumPy array. As in CuPy, NumPy's functions and operands raise TypeError, results are 0-d arrays
and not scalars, and positions out of range wrap around. Each copy to the host is counted (`host_copies`). The namespace
`xp` has only functions that NumPy and CuPy share.

It tests the interface to the array library, not CUDA.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakValueDictionary

import numpy

from minigrad import backend
from minigrad.backend.numpy_library import missing_functions

DEVICES = {"numpy": "cpu", "strict": "strict", "cupy": "cuda"}  # of the backends of the tests

# The functions of an array library that minigrad may use. tests/backend/test_fake_gpu.py checks that NumPy and CuPy
# have them.
UFUNCS = """
    abs absolute add arccos arcsin arctan arctan2 bitwise_and bitwise_or bitwise_xor cbrt ceil cos cosh divide equal exp
    exp2 expm1 floor floor_divide fmax fmin greater greater_equal hypot invert isfinite isinf isnan less less_equal log
    log10 log1p log2 logaddexp logical_and logical_not logical_or logical_xor matmul maximum minimum multiply negative
    nextafter not_equal power reciprocal remainder rint sign signbit sin sinh sqrt square subtract tan tanh true_divide
    trunc
"""
FUNCTIONS = """
    all allclose amax amin any arange argmax argmin argsort array array_equal asarray ascontiguousarray asfortranarray
    atleast_1d
    atleast_2d bincount broadcast_arrays broadcast_to clip concatenate copy count_nonzero cumprod cumsum diag diagonal
    dot einsum empty empty_like expand_dims eye flip full full_like identity isclose ix_ linspace max mean meshgrid min
    moveaxis nan_to_num nonzero ones ones_like outer prod ravel repeat reshape roll round shares_memory sort split
    squeeze stack std sum swapaxes take take_along_axis tensordot tile trace transpose tril triu unique var where zeros
    zeros_like
"""
CONSTANTS = "inf nan pi e newaxis float16 float32 float64 int8 int16 int32 int64 uint8 bool_ dtype ndarray"

_copies = 0
_alive: WeakValueDictionary[int, StrictArray] = WeakValueDictionary()  # by the identity of their NumPy arrays


def host_copies() -> int:
    """The number of copies from this device to the host so far."""
    return _copies


def _count() -> None:
    global _copies
    _copies += 1


def _wrong_operand(given: Any) -> TypeError:
    return TypeError(f"strict device: expected its own arrays or Python numbers, got {type(given).__name__} of NumPy")


def _inside(value: Any) -> Any:
    """The NumPy array in a StrictArray, or in a tuple, list or dict of them. NumPy's own raise TypeError."""
    if isinstance(value, StrictArray):
        return value.host
    if isinstance(value, (numpy.ndarray, numpy.generic)):
        raise _wrong_operand(value)
    if isinstance(value, (tuple, list)):
        return type(value)(_inside(item) for item in value)
    if isinstance(value, dict):
        return {name: _inside(item) for name, item in value.items()}
    return value


def _outside(value: Any) -> Any:
    """Results as StrictArrays: scalars of NumPy become 0-d arrays."""
    if isinstance(value, (numpy.ndarray, numpy.generic)):
        return StrictArray(numpy.asarray(value))
    if isinstance(value, (tuple, list)):
        return type(value)(_outside(item) for item in value)
    return value


def _wrapper(host: numpy.ndarray) -> StrictArray:
    """The one StrictArray of a NumPy array that others are views of."""
    alive = _alive.get(id(host))
    return alive if alive is not None and alive.host is host else StrictArray(host)


class Flags:
    """The flags of a NumPy array that CuPy's arrays also have."""

    def __init__(self, flags: Any) -> None:
        self.c_contiguous, self.f_contiguous, self.owndata = flags.c_contiguous, flags.f_contiguous, flags.owndata


class StrictArray:
    """An array on the strict device."""

    __slots__ = ("__weakref__", "base", "host")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, host: numpy.ndarray) -> None:
        self.host = host
        # As in NumPy and CuPy, all views of an array have one and the same object as `base`, which they keep alive.
        self.base: StrictArray | None = None
        if isinstance(host.base, numpy.ndarray):
            self.base = _wrapper(host.base)
        _alive[id(host)] = self

    # Attributes
    shape = property(lambda self: self.host.shape)
    dtype = property(lambda self: self.host.dtype)
    ndim = property(lambda self: self.host.ndim)
    size = property(lambda self: self.host.size)
    strides = property(lambda self: self.host.strides)
    itemsize = property(lambda self: self.host.itemsize)
    nbytes = property(lambda self: self.host.nbytes)
    flags = property(lambda self: Flags(self.host.flags))
    T = property(lambda self: _outside(self.host.T))

    def __len__(self) -> int:
        return len(self.host)

    def __repr__(self) -> str:
        return f"StrictArray({self.host!r})"

    # NumPy's protocols
    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("strict device: implicit conversion to NumPy; copy to the host explicitly")

    def __array_function__(self, function: Any, *args: Any) -> Any:
        raise TypeError(
            f"strict device: numpy.{function.__name__} was given one of its arrays; call xp.{function.__name__}"
        )

    def __array_ufunc__(self, ufunc: Any, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"strict device: numpy.{ufunc.__name__} was given one of its arrays; call xp.{ufunc.__name__}")

    # Elements
    def _index(self, index: Any, axis: int = 0) -> Any:
        """The index with arrays of positions wrapped around, where NumPy would raise IndexError."""
        parts = index if isinstance(index, tuple) else (index,)
        after = sum(part is not None and part is not Ellipsis for part in parts)
        wrapped = []
        for part in parts:
            part = numpy.asarray(part) if isinstance(part, list) else _inside(part)
            if part is Ellipsis:
                axis = self.ndim - after
            elif part is not None:
                after -= 1
                if (
                    isinstance(part, numpy.ndarray)
                    and part.dtype.kind in "iu"
                    and axis < self.ndim
                    and self.shape[axis]
                ):
                    part = part % self.shape[axis]
                axis += part.ndim if isinstance(part, numpy.ndarray) and part.dtype == bool else 1
            wrapped.append(part)
        return tuple(wrapped) if isinstance(index, tuple) else wrapped[0]

    def __getitem__(self, index: Any) -> StrictArray:
        return _outside(self.host[self._index(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self.host[self._index(index)] = _inside(value)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    # To the host: each is a copy that synchronises the device
    def _to_host(self) -> numpy.ndarray:
        _count()
        return self.host.copy()

    def item(self, *args: Any) -> Any:
        return self._to_host().item(*args)

    def tolist(self) -> Any:
        return self._to_host().tolist()

    def __bool__(self) -> bool:
        return bool(self._to_host())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        return self._to_host().__index__()


def _operator(name: str) -> Any:
    def call(self: StrictArray, *others: Any) -> Any:
        for other in others:
            if isinstance(other, (numpy.ndarray, numpy.generic)):
                raise _wrong_operand(other)
            if not isinstance(other, (StrictArray, bool, int, float)):
                return NotImplemented
        return _outside(getattr(self.host, name)(*map(_inside, others)))

    return call


def _in_place(name: str) -> Any:
    def call(self: StrictArray, other: Any) -> StrictArray:
        getattr(self.host, name)(_inside(other))
        return self

    return call


def _method(name: str) -> Any:
    def call(self: StrictArray, *args: Any, **kwargs: Any) -> Any:
        return _outside(getattr(self.host, name)(*_inside(args), **_inside(kwargs)))

    return call


BINARY = "add sub mul truediv floordiv mod pow and or xor"
OPERATORS = "neg pos abs invert eq ne lt le gt ge matmul rmatmul"
METHODS = """
    all any argmax argmin astype clip copy cumsum diagonal dot fill flatten max mean min prod ravel repeat reshape round
    sort squeeze std sum swapaxes take trace transpose var view
"""
for _name in BINARY.split():
    setattr(StrictArray, f"__{_name}__", _operator(f"__{_name}__"))
    setattr(StrictArray, f"__r{_name}__", _operator(f"__r{_name}__"))
    setattr(StrictArray, f"__i{_name}__", _in_place(f"__i{_name}__"))
for _name in OPERATORS.split():
    setattr(StrictArray, f"__{_name}__", _operator(f"__{_name}__"))
for _name in METHODS.split():
    setattr(StrictArray, _name, _method(_name))


class Function:
    """A function of NumPy, on StrictArrays only."""

    def __init__(self, name: str) -> None:
        self.__name__ = name
        self.function = getattr(numpy, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _outside(self.function(*_inside(args), **_inside(kwargs)))

    def at(self, target: StrictArray, index: Any, *values: Any) -> None:
        """As the method of NumPy's ufuncs; a position out of range wraps around."""
        self.function.at(target.host, target._index(index), *_inside(values))


def _broadcast_to(array: StrictArray, shape: Any) -> StrictArray:
    """As CuPy's, whose result may be written to."""
    view = numpy.broadcast_to(_inside(array), shape)
    return _outside(numpy.lib.stride_tricks.as_strided(_inside(array), view.shape, view.strides))


class Namespace:
    """`xp` of the strict device. A name that NumPy and CuPy do not both have is an AttributeError."""

    def __init__(self) -> None:
        for name in (UFUNCS + FUNCTIONS).split():
            setattr(self, name, Function(name))
        for name in CONSTANTS.split():
            setattr(self, name, getattr(numpy, name))
        self.broadcast_to = _broadcast_to
        vars(self).update(missing_functions(self))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"strict device: `{name}` is not among the functions that NumPy and CuPy both have")


def _from_host(array: Any) -> StrictArray:
    return StrictArray(numpy.array(array, order="C"))


def load() -> backend.Library:
    """The library of the strict device."""
    return backend.Library(
        Namespace(), StrictArray, backend.device("strict"), _from_host, StrictArray._to_host, lambda: None
    )


def register() -> None:
    """Make `device("strict")` known to minigrad."""
    backend.register("strict", load)
