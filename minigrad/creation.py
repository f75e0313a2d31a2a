"""New Tensors: from data, constant, and random. Random numbers are drawn on the host, so all devices get the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral
from typing import Any

from . import backend, ops
from .autograd.methods import sizes
from .autograd.tensor import Tensor, expect_tensor
from .backend import bool_, dtype_of, float32, from_python, int64, library, library_of, random

PYTHON_DTYPES: dict[type, backend.DType] = {float: float32, int: int64, bool: bool_}


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A Tensor with a copy of `data`.

    Args:
        data: a number, nested lists, a NumPy array, a Tensor, or anything that NumPy converts to an array.
        dtype: by default Python floats become float32, integers int64; arrays, Tensors and NumPy numbers, also in
            lists, keep their dtype, promoted to a common one.
        device: by default that of a Tensor, else the CPU.
        requires_grad: make it a leaf whose gradient is wanted.

    Raises:
        TypeError: `data` holds something else than numbers, or a dtype is not supported.
        ValueError: rows of a list differ in length, or a number is outside the range of an integer `dtype`.

    Example:
        >>> import minigrad as mg
        >>> mg.tensor([[1.0, 2.0], [3.0, 4.0]]).shape
        (2, 2)
    """
    if isinstance(data, Tensor):
        device = device or data.device
    dtypes: set[backend.DType] = set()
    data = to_host(data, dtypes)
    if dtype is None and isinstance(data, (list, tuple)) and dtypes:
        dtype = backend.promote([()] * len(dtypes), [dtype_of(each) for each in dtypes])
    return to_tensor(from_python(data, dtype), device, requires_grad)


def to_host(data: Any, dtypes: set[backend.DType]) -> Any:
    """`data` with host arrays in place of Tensors. Adds the dtypes of its elements to `dtypes`."""
    if isinstance(data, Tensor):
        data = library_of(data.array).to_host(data.array)
    if isinstance(data, (list, tuple)):
        types = set(map(type, data))
        if types <= PYTHON_DTYPES.keys():  # saves a visit of each element
            dtypes.update(PYTHON_DTYPES[each] for each in types)
            return data
        return [to_host(item, dtypes) for item in data]
    if isinstance(data, (backend.numpy.ndarray, backend.numpy.generic)):
        dtypes.add(data.dtype)
    elif type(data) in PYTHON_DTYPES:
        dtypes.add(PYTHON_DTYPES[type(data)])
    elif hasattr(data, "dtype"):  # torch's tensors
        data = backend.numpy.asarray(data)
        dtypes.add(data.dtype)
    return data


def to_tensor(host: Any, device: Any, requires_grad: bool = False) -> Tensor:
    """A Tensor on a device with a copy of a host array; on the CPU with the array itself."""
    return Tensor(library(device or "cpu").from_host(host), requires_grad)


def from_numpy(array: Any) -> Tensor:
    """A Tensor that shares memory with a NumPy array. Raises TypeError for an unsupported dtype.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([1, 2])
        >>> mg.from_numpy(x.numpy()).fill_(7)
        tensor([7, 7])
        >>> x
        tensor([7, 7])
    """
    if not isinstance(array, backend.numpy.ndarray):
        raise TypeError(f"from_numpy: expected a NumPy array, got {type(array).__name__}; use tensor(data)")
    dtype_of(array.dtype)
    return Tensor(array)


# Constants and ranges
def shape_of(numbers: tuple[Any, ...], size: Any = None) -> tuple[int, ...]:
    """The shape passed as `zeros(2, 3)`, `zeros((2, 3))` or `zeros(size=(2, 3))`.

    Raises TypeError or ValueError if it is not a shape.
    """
    shape = sizes(numbers, size)
    if not all(isinstance(n, Integral) for n in shape):
        raise TypeError(f"size: expected integers, got {shape}")
    if any(n < 0 for n in shape):
        raise ValueError(f"size: expected integers of 0 or more, got {shape}")
    return tuple(int(n) for n in shape)


def full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """One number everywhere, by default as float32, int64 or bool.

    Example:
        >>> import minigrad as mg
        >>> mg.full((2,), 7)
        tensor([7, 7])
    """
    shape = shape_of((size,) if isinstance(size, Integral) else tuple(size))
    one = from_python(fill_value, dtype)
    if one.shape:
        raise ValueError(f"full: expected a number as fill_value, got shape {one.shape}")
    return to_tensor(backend.numpy.full(shape, one, one.dtype), device, requires_grad)


def zeros(
    *shape: Any, size: Any = None, dtype: Any = float32, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """0 everywhere: `zeros(2, 3)` or `zeros((2, 3))`."""
    return full(shape_of(shape, size), 0, dtype=dtype, device=device, requires_grad=requires_grad)


def ones(
    *shape: Any, size: Any = None, dtype: Any = float32, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """1 everywhere: `ones(2, 3)` or `ones((2, 3))`."""
    return full(shape_of(shape, size), 1, dtype=dtype, device=device, requires_grad=requires_grad)


def zeros_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """0 everywhere, with the shape and, by default, the dtype and device of `input`."""
    expect_tensor("zeros_like", "input", input)
    return zeros(input.shape, dtype=dtype or input.dtype, device=device or input.device, requires_grad=requires_grad)


def ones_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """1 everywhere, with the shape and, by default, the dtype and device of `input`."""
    expect_tensor("ones_like", "input", input)
    y = ops.ones_like(input).to(dtype=dtype, device=device)
    return y.requires_grad_() if requires_grad else y


def arange(start: Any = None, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Tensor:
    """start, start + step, ... up to but not including `end`; `arange(end)` starts at 0.

    Args:
        start, end, step: numbers.
        dtype: by default int64, or float32 if one of them is not an integer. Fractions are truncated for an integer
            dtype, as in torch.
        device: by default the CPU.

    Raises:
        ValueError: `step` is 0 or leads away from `end`, or a number is not finite.

    Example:
        >>> import minigrad as mg
        >>> mg.arange(1, 2, 0.25)
        tensor([1.00, 1.25, 1.50, 1.75])
    """
    start, end = (0, start) if end is None else (0 if start is None else start, end)
    numbers = [each.item() if hasattr(each, "item") else each for each in (start, end, step)]
    if not all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers):
        raise ValueError(f"arange: expected finite numbers, got {start}, {end} and {step}")
    integers = all(isinstance(number, int) for number in numbers)
    target = dtype_of((int64 if integers else float32) if dtype is None else dtype)
    start, end, step = numbers
    towards_end = (end - start) * step >= 0
    if target == int64:
        start, end, step = int(start), int(end), int(step)
    if step == 0 or not towards_end:
        raise ValueError(f"arange: expected a step from {start} towards {end}, got {step}")
    count = -((start - end) // step) if isinstance(step, int) else math.ceil((end - start) / step)
    if target.kind in "iu":
        start, step = int(start), int(step)
    values = start + step * backend.numpy.arange(count)
    return to_tensor(from_python(values, target), device)


def eye(
    n: int, m: int | None = None, *, dtype: Any = float32, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """The matrix (n, m), by default (n, n), with 1 on the diagonal and 0 elsewhere."""
    shape = shape_of((n, n if m is None else m))
    return to_tensor(backend.numpy.eye(*shape, dtype=dtype_of(dtype)), device, requires_grad)


# Random numbers
def draw(sample: Callable[[], Any], device: Any, requires_grad: bool = False) -> Tensor:
    """A Tensor of the random numbers that `sample()` returns. It is not called if the device is not available."""
    to_device, wants_grad = library(device or "cpu").from_host, bool(requires_grad)
    return Tensor(to_device(backend.numpy.asarray(sample())), wants_grad)


def float_dtype(name: str, dtype: Any) -> backend.DType:
    """A dtype of floating point. Raises TypeError for any other."""
    found = dtype_of(dtype)
    if found.kind != "f":
        raise TypeError(f"{name}: expected dtype float32 or float64, got {found}")
    return found


def randn(
    *shape: Any,
    size: Any = None,
    dtype: Any = float32,
    generator: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Random numbers from the normal distribution with mean 0 and variance 1."""
    shape, dtype = shape_of(shape, size), float_dtype("randn", dtype)
    return draw(lambda: random.source(generator).standard_normal(shape, dtype=dtype), device, requires_grad)


def rand(
    *shape: Any,
    size: Any = None,
    dtype: Any = float32,
    generator: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Random numbers from the uniform distribution on [0, 1)."""
    shape, dtype = shape_of(shape, size), float_dtype("rand", dtype)
    return draw(lambda: random.source(generator).random(shape, dtype=dtype), device, requires_grad)


def randint(
    low: Any = None,
    high: Any = None,
    size: Any = None,
    *,
    dtype: Any = int64,
    generator: Any = None,
    device: Any = None,
) -> Tensor:
    """Random integers from the uniform distribution on [low, high); `randint(high, size)` starts at 0.

    Raises:
        TypeError: `low` or `high` is not an integer.
        ValueError: `low` is not below `high`, or they are outside the range of `dtype`.

    Example:
        >>> import minigrad as mg
        >>> mg.randint(0, 1, (3,))
        tensor([0, 0, 0])
    """
    if size is None:
        low, high, size = 0, low, high
    elif low is None or high is None:
        low, high = 0, high if low is None else low
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"randint: expected a tuple as size, got {type(size).__name__}; use randint(low, high, (n,))")
    shape, dtype = shape_of(tuple(size)), dtype_of(dtype)
    if not (isinstance(low, Integral) and isinstance(high, Integral)):
        raise TypeError(f"randint: expected integers as low and high, got {low!r} and {high!r}")
    low, high = int(low), int(high)
    if high <= low:
        raise ValueError(f"randint: expected low < high, got {low} and {high}")
    from_python([low, high - 1], dtype)  # checks the range
    return draw(lambda: random.below(random.source(generator).integers(low, high, shape), high, dtype), device)


def randperm(n: int, *, generator: Any = None, device: Any = None) -> Tensor:
    """The integers 0 to n - 1 in random order, int64."""
    (length,) = shape_of((n,))
    return draw(lambda: random.source(generator).permutation(length), device)


def get_rng_state() -> Tensor:
    """The state of the random number generator, uint8 (n,), for `set_rng_state`."""
    import json  # here, to keep `import minigrad` quick

    content = json.dumps(random.generator().bit_generator.state).encode()
    return Tensor(backend.numpy.frombuffer(content, backend.uint8).copy())


def set_rng_state(new_state: Tensor) -> None:
    """Restore a state from `get_rng_state()`. Raises ValueError for any other Tensor.

    Example:
        >>> import minigrad as mg
        >>> state = mg.get_rng_state()
        >>> first = mg.rand(3).tolist()
        >>> mg.set_rng_state(state)
        >>> mg.rand(3).tolist() == first
        True
    """
    import json

    fresh = backend.random.new_generator(0)
    try:
        fresh.bit_generator.state = json.loads(bytes(new_state.tolist()))
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        is_tensor = isinstance(new_state, Tensor)
        got = f"another {new_state.shape} {new_state.dtype}" if is_tensor else type(new_state).__name__
        raise ValueError(f"set_rng_state: expected a Tensor of get_rng_state(), got {got}") from error
    random.set_generator(fresh)
