"""New Tensors: from data, constant, and random. Random numbers are drawn on the host, so every device gets the same."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

from . import backend
from .autograd.methods import sizes
from .autograd.tensor import Tensor, expect_tensor
from .backend import float32, from_python, int64, library, random


def _place(host: Any, device: Any, requires_grad: bool) -> Tensor:
    return Tensor(library(device or "cpu").from_host(host), requires_grad)


def _drawn(draw: Callable[[], Any], device: Any, requires_grad: bool = False) -> Tensor:
    """The random numbers that `draw` gives; where they could not be placed, none are drawn."""
    place, wanted = library(device or "cpu"), bool(requires_grad)
    return Tensor(place.from_host(backend.numpy.asarray(draw())), wanted)


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A Tensor of a copy of `data`: a number, nested lists, a NumPy array, a Tensor or anything NumPy makes one of.

    Python floats become float32 and integers int64; an array keeps its dtype. Raises TypeError for what are no numbers,
    ValueError for ragged lists.

    >>> tensor([[1.0, 2.0], [3.0, 4.0]]).shape
    (2, 2)
    """
    if isinstance(data, Tensor):
        device = device or data.device
        data = library(data.device).to_host(data.array)
    elif isinstance(data, (list, tuple)) and any(isinstance(item, Tensor) for item in data):
        data = [item.tolist() if isinstance(item, Tensor) else item for item in data]
    return _place(from_python(data, dtype), device, requires_grad)


def from_numpy(array: Any) -> Tensor:
    """A Tensor that shares memory with a NumPy array. Raises TypeError for a dtype that minigrad leaves out."""
    if not isinstance(array, backend.numpy.ndarray):
        raise TypeError(f"from_numpy: expected a NumPy array, got {type(array).__name__}; write tensor(data)")
    backend.dtype_of(array.dtype)
    return Tensor(array)


def shape_of(size: tuple[Any, ...]) -> tuple[int, ...]:
    """The shape meant by `zeros(2, 3)` or `zeros((2, 3))`. Raises TypeError or ValueError for what is no shape."""
    shape = sizes(size)
    if not all(isinstance(n, Integral) for n in shape):
        raise TypeError(f"expected a shape of integers, got {shape}")
    if any(n < 0 for n in shape):
        raise ValueError(f"expected a shape of lengths of 0 or more, got {shape}")
    return tuple(int(n) for n in shape)


def full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """One number everywhere, in float32, int64 or bool as the number is, unless `dtype` is given."""
    shape = shape_of((size,) if isinstance(size, Integral) else tuple(size))
    one = from_python(fill_value, dtype)
    return _place(backend.numpy.full(shape, one, one.dtype), device, requires_grad)


def zeros(*size: Any, dtype: Any = float32, device: Any = None, requires_grad: bool = False) -> Tensor:
    """0 everywhere: `zeros(2, 3)` or `zeros((2, 3))`."""
    return full(shape_of(size), 0, dtype=dtype, device=device, requires_grad=requires_grad)


def ones(*size: Any, dtype: Any = float32, device: Any = None, requires_grad: bool = False) -> Tensor:
    """1 everywhere: `ones(2, 3)` or `ones((2, 3))`."""
    return full(shape_of(size), 1, dtype=dtype, device=device, requires_grad=requires_grad)


def zeros_like(input: Tensor) -> Tensor:
    """0 everywhere, in the shape and dtype and on the device of `input`."""
    expect_tensor("zeros_like", "input", input)
    return zeros(input.shape, dtype=input.dtype, device=input.device)


def arange(start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Tensor:
    """start, start + step, ... before end; from 0 where one number is given. int64, or float32 if one is a fraction."""
    start, end = (0, start) if end is None else (start, end)
    if step == 0:
        raise ValueError("arange: expected a step other than 0")
    fraction = any(isinstance(number, float) for number in (start, end, step))
    values = backend.numpy.arange(start, end, step)
    return _place(from_python(values, dtype or (float32 if fraction else int64)), device, False)


def eye(n: int, *, dtype: Any = float32, device: Any = None) -> Tensor:
    """The identity matrix (n, n)."""
    return _place(backend.numpy.eye(*shape_of((n,)), dtype=backend.dtype_of(dtype)), device, False)


def randn(*size: Any, dtype: Any = float32, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Random numbers of the normal distribution, mean 0 and variance 1."""
    shape, dtype = shape_of(size), backend.dtype_of(dtype)
    return _drawn(lambda: random.generator().standard_normal(shape, dtype=dtype), device, requires_grad)


def rand(*size: Any, dtype: Any = float32, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Random numbers, uniform from 0 to below 1."""
    shape, dtype = shape_of(size), backend.dtype_of(dtype)
    return _drawn(lambda: random.generator().random(shape, dtype=dtype), device, requires_grad)


def randint(low: int, high: int, size: Any, *, dtype: Any = int64, device: Any = None) -> Tensor:
    """Random integers, uniform from `low` to below `high`."""
    shape, dtype = shape_of(tuple(size)), backend.dtype_of(dtype)
    if high <= low:
        raise ValueError(f"randint: expected low < high, got {low} and {high}")
    return _drawn(lambda: from_python(random.generator().integers(low, high, shape), dtype), device)


def randperm(n: int, *, device: Any = None) -> Tensor:
    """The integers 0 to n - 1 in random order, int64."""
    (length,) = shape_of((n,))
    return _drawn(lambda: random.generator().permutation(length), device)


def get_rng_state() -> Tensor:
    """Where the random numbers of minigrad stand, for `set_rng_state`: uint8 (n,), NumPy's account of it as JSON."""
    import json  # here, to keep `import minigrad` quick

    content = json.dumps(random.generator().bit_generator.state).encode()
    return Tensor(backend.numpy.frombuffer(content, backend.uint8).copy())


def set_rng_state(new_state: Tensor) -> None:
    """Go on with the random numbers from where `get_rng_state()` was called. Raises ValueError for another Tensor."""
    import json

    fresh = backend.random.new_generator(0)
    try:
        fresh.bit_generator.state = json.loads(bytes(new_state.tolist()))
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"set_rng_state: expected a Tensor of get_rng_state(), got {new_state!r}") from error
    random.set_generator(fresh)
