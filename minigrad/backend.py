"""Which library owns an array: NumPy on the CPU, CuPy on a CUDA device.

The data chooses. An array's type names its library, and every op asks that library for its functions. This is the only
file of minigrad that imports numpy or cupy.
"""

from __future__ import annotations

import contextvars
import importlib
from collections.abc import Callable
from functools import cached_property
from numbers import Integral
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy

Array = Any  # numpy.ndarray or cupy.ndarray; the two share no base class
DType = numpy.dtype

float32, float64 = numpy.dtype("float32"), numpy.dtype("float64")
uint8, int8, int16 = numpy.dtype("uint8"), numpy.dtype("int8"), numpy.dtype("int16")
int32, int64, bool_ = numpy.dtype("int32"), numpy.dtype("int64"), numpy.dtype("bool")
DTYPES = (bool_, uint8, int8, int16, int32, int64, float32, float64)


class device:
    """Where an array lives: `device("cpu")`, `device("cuda")` or `device("cuda:0")`, as `torch.device`."""

    __slots__ = ("index", "type")

    def __init__(self, type: str | device, index: int | None = None) -> None:
        name, _, number = str(type).partition(":")
        if index is None and number.isdigit():
            index = int(number)
        elif number:
            raise ValueError(f"device: expected 'cpu', 'cuda' or 'cuda:0', got {str(type)!r}")
        if name not in _LOADERS:
            raise ValueError(f"device: expected one of {', '.join(map(repr, _LOADERS))}, got {str(type)!r}")
        if index not in (None, 0):
            raise ValueError(f"device: minigrad uses one device of a kind, {name}:0, got {name}:{index}")
        self.type = name
        self.index = 0 if name == "cuda" else index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{index})"


class Library(NamedTuple):
    """An array library: its module `xp`, the type of its arrays, its device, and the copies from and to the host."""

    xp: Any
    array: type
    device: device
    from_host: Callable[[numpy.ndarray], Array]
    to_host: Callable[[Array], numpy.ndarray]
    synchronize: Callable[[], None]


class DeviceError(RuntimeError):
    """A device that was asked for cannot be used here; the message says what is missing and what to do."""


def keep_freed_memory() -> None:
    """Let the C library keep what a training step frees, for the next step.

    A step frees at once all that it made. glibc gives freed memory back to the system where it is more than twice the
    largest array freed so far, of 32 MB at most; each step then waits for fresh pages. So free one of nearly 32 MB.
    """
    numpy.empty(31 << 20, uint8)  # freed as soon as it is made, and never written to


def direct_numpy() -> ModuleType:
    """NumPy as ops see it: its own names, but a few functions call directly what NumPy's own ones call in the end.

    On the way there NumPy passes through several layers of Python. They do nothing for an array, and between two large
    matrix products, which empty the caches, they take longer than the sums of a batch.
    """

    def sum(x: Any, axis: Any = None, **options: Any) -> Any:
        return numpy.add.reduce(x, axis, **options)

    def amax(x: Any, axis: Any = None, **options: Any) -> Any:
        return numpy.maximum.reduce(x, axis, **options)

    def amin(x: Any, axis: Any = None, **options: Any) -> Any:
        return numpy.minimum.reduce(x, axis, **options)

    def ones_like(x: Any, **options: Any) -> Any:
        ones = numpy.empty_like(x, **options)
        ones.fill(1)
        return ones

    xp = ModuleType("numpy")
    vars(xp).update(vars(numpy), sum=sum, amax=amax, amin=amin, ones_like=ones_like)
    return xp


def _load_numpy() -> Library:
    def same(array: Array) -> Array:
        return array

    keep_freed_memory()
    return Library(direct_numpy(), numpy.ndarray, device("cpu"), same, same, lambda: None)


def _load_cupy() -> Library:
    install = "pip install cupy-cuda12x (CUDA 12) or cupy-cuda13x (CUDA 13), or use the CPU (--backend numpy)"
    try:
        cupy: ModuleType = importlib.import_module("cupy")
    except ImportError as error:
        raise DeviceError(f"device 'cuda' needs CuPy, which is not installed: {install}") from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(
            f"CuPy {cupy.__version__} finds no CUDA device ({error}): use the CPU (--backend numpy)"
        ) from None
    if count == 0:
        raise DeviceError(f"CuPy {cupy.__version__} finds no CUDA device: use the CPU (--backend numpy)")
    synchronize = cupy.cuda.runtime.deviceSynchronize
    return Library(cupy, cupy.ndarray, device("cuda"), cupy.asarray, cupy.asnumpy, synchronize)


_LOADERS: dict[str, Callable[[], Library]] = {"cpu": _load_numpy, "cuda": _load_cupy}
_LIBRARIES: dict[str, Library] = {}  # those in use, by the type of their device
OWNERS: dict[type, Library] = {}  # the same, by the type of their arrays


def library(where: device | str) -> Library:
    """The library of a device, loaded at its first use. Raises DeviceError where there is no such device."""
    name = device(where).type
    if name not in _LIBRARIES:
        loaded = _LIBRARIES[name] = _LOADERS[name]()
        OWNERS[loaded.array] = loaded
    return _LIBRARIES[name]


def register(name: str, load: Callable[[], Library]) -> None:
    """Add a kind of device: afterwards `device(name)` is known, and `load()` gives its library at the first use."""
    _LOADERS[name] = load


library("cpu")


def as_array(value: Any) -> Any:
    """The value; but an array again where NumPy made a scalar of a 0-d array."""
    return numpy.asarray(value) if isinstance(value, numpy.generic) else value


def copy_to(array: Array, where: device) -> Array:
    """The array on another device, through the host. A Tensor, as in a recorded gradient, moves itself."""
    owner = OWNERS.get(type(array))
    if owner is None:
        return array.to(where)
    return library(where).from_host(owner.to_host(array))


def dtype_of(name: Any) -> DType:
    """The dtype of a name, a NumPy dtype or a Python type. Raises TypeError for one that minigrad leaves out."""
    try:
        dtype: Any = {float: float32, int: int64, bool: bool_}.get(name) or numpy.dtype(name)
    except (TypeError, ValueError):
        dtype = None
    if dtype is None or dtype not in DTYPES:
        raise TypeError(f"expected one of the dtypes {', '.join(map(str, DTYPES))}, got {dtype or name!r}")
    return dtype


def host_array(data: Any, dtype: Any = None) -> numpy.ndarray:
    """A fresh NumPy array of nested lists, numbers or arrays; Python floats become float32, as in torch.

    Raises TypeError for strings, objects and dtypes that minigrad leaves out, ValueError for ragged lists.
    """
    try:
        array = numpy.asarray(data).copy()
    except ValueError as error:
        raise ValueError(f"expected numbers in rows of equal length: {error}") from None
    if dtype is None and array.dtype == float64 and not hasattr(data, "dtype"):
        dtype = float32
    if array.dtype.kind not in "biuf":
        raise TypeError(f"expected numbers, got {type(data).__name__} of dtype {array.dtype}")
    target = dtype_of(dtype if dtype is not None else array.dtype.newbyteorder("="))
    return QUIET.copy().run(lambda: array.astype(target, copy=False))


def promote(shapes: list[tuple[int, ...]], dtypes: list[DType]) -> DType:
    """The dtype of a result, by torch's rule: floats before integers before bool, then arrays before 0-d ones."""
    rank = {"b": 0, "u": 1, "i": 1, "f": 2}
    top = max(rank[dtype.kind] for dtype in dtypes)
    decisive = [(shape, dtype) for shape, dtype in zip(shapes, dtypes) if rank[dtype.kind] == top]
    return numpy.result_type(*([dtype for shape, dtype in decisive if shape] or [dtype for _, dtype in decisive]))


def unravel(position: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The index of a position in the flat array."""
    return tuple(int(i) for i in numpy.unravel_index(position, shape))


def text(array: Array, prefix: str) -> str:
    """The elements as text, four decimals, rows aligned behind `prefix`."""
    host = OWNERS[type(array)].to_host(array)
    return numpy.array2string(
        host, precision=4, separator=", ", prefix=prefix, floatmode="maxprec_equal", threshold=200
    )


# NumPy keeps its floating-point error state in a context variable. Ops run in a copy of this context, where overflow
# and 0/0 give inf and nan without a warning, as in torch; the user's own NumPy settings stay as they are.
QUIET = contextvars.copy_context()
QUIET.run(numpy.seterr, all="ignore")


class Generator:
    """The source of random numbers: drawn on the host, so that every device starts from the same weights."""

    @cached_property
    def host(self) -> numpy.random.Generator:
        """NumPy's generator, made at the first use: numpy.random is a slow import."""
        return numpy.random.default_rng()


GENERATOR = Generator()


def manual_seed(seed: int) -> None:
    """Start the random numbers of minigrad (weights, dropout, shuffles without a seed) from `seed`.

    NumPy's own global generator is not touched. Raises ValueError for a negative seed.
    """
    GENERATOR.host = generator(seed)


def generator(*seeds: int) -> numpy.random.Generator:
    """A generator of its own, on the host: a seed, and its parts by number, give independent streams.

    Raises ValueError for a negative number.
    """
    if not all(isinstance(seed, Integral) for seed in seeds):
        raise TypeError(f"seed: expected an integer, got {', '.join(map(repr, seeds))}")
    if any(int(seed) < 0 for seed in seeds):
        raise ValueError(f"seed: expected an integer of 0 or more, got {', '.join(map(str, seeds))}")
    first, *parts = (int(seed) for seed in seeds)
    return numpy.random.default_rng(numpy.random.SeedSequence(first, spawn_key=parts))


def _cuda_is_available() -> bool:
    """True where `device("cuda")` can be used: CuPy is installed and finds a CUDA device."""
    try:
        library("cuda")
    except DeviceError:
        return False
    return True


cuda = SimpleNamespace(is_available=_cuda_is_available, synchronize=lambda: library("cuda").synchronize())
