"""Devices, and the array library of each: NumPy on the CPU, CuPy on a CUDA device.

The type of an array selects its library, so an op never names a device: `namespace(array)` is the module whose
functions it calls (the array API calls this the array namespace, CuPy `get_array_module`).
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy

Array = Any  # numpy.ndarray or cupy.ndarray; the two share no base class


class device:
    """Where an array lives: `device("cpu")`, `device("cuda")` or `device("cuda:0")`, as `torch.device`.

    Raises:
        ValueError: an unknown kind of device, or an index other than 0.
    """

    __slots__ = ("index", "type")

    def __init__(self, type: str | device, index: int | None = None) -> None:
        name, _, number = str(type).partition(":")
        if index is None and number.isdigit():
            index = int(number)
        elif number:
            raise ValueError(f"device: expected 'cpu', 'cuda' or 'cuda:0', got {str(type)!r}")
        if name not in _loaders:
            raise ValueError(f"device: expected one of {', '.join(map(repr, _loaders))}, got {str(type)!r}")
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
    """An array library: its namespace `xp`, the type of its arrays, its device, and copies from and to the host."""

    xp: Any
    array: type
    device: device
    from_host: Callable[[numpy.ndarray], Array]
    to_host: Callable[[Array], numpy.ndarray]
    synchronize: Callable[[], None]


class DeviceError(RuntimeError):
    """The requested device cannot be used; the message says what is missing and what to do."""


_loaders: dict[str, Callable[[], Library]] = {}  # by the type of the device
_libraries: dict[str, Library] = {}  # those loaded so far
LIBRARY_OF_TYPE: dict[type, Library] = {}  # the same, by the type of their arrays


def register(name: str, load: Callable[[], Library]) -> None:
    """Add a kind of device: `device(name)` becomes valid, and `load()` returns its library at the first use."""
    _loaders[name] = load


def library(where: device | str) -> Library:
    """The library of a device, loaded at its first use. Raises DeviceError if the device is not available."""
    name = device(where).type
    if name not in _libraries:
        loaded = _libraries[name] = _loaders[name]()
        LIBRARY_OF_TYPE[loaded.array] = loaded
    return _libraries[name]


def library_of(array: Array) -> Library:
    """The library that an array belongs to."""
    return LIBRARY_OF_TYPE[type(array)]


def namespace(array: Array) -> Any:
    """The array namespace `xp` of an array: NumPy's functions, or CuPy's."""
    return LIBRARY_OF_TYPE[type(array)].xp


def to_device(array: Array, where: device) -> Array:
    """A copy of the array on another device, by way of the host. A Tensor moves itself, so the copy is recorded."""
    owner = LIBRARY_OF_TYPE.get(type(array))
    if owner is None:
        return array.to(where)
    return library(where).from_host(owner.to_host(array))


def _cuda_is_available() -> bool:
    """True if `device("cuda")` can be used: CuPy is installed and finds a CUDA device."""
    try:
        library("cuda")
    except DeviceError:
        return False
    return True


cuda = SimpleNamespace(is_available=_cuda_is_available, synchronize=lambda: library("cuda").synchronize())
