"""Weights in files: `save` and `load`, in the safetensors format, which holds arrays and cannot run code.

The same files are read and written by torch: `safetensors.torch.load_file(path)`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress

from safetensors import SafetensorError
from safetensors.numpy import load as from_bytes
from safetensors.numpy import save as to_bytes

from .autograd.tensor import Tensor
from .backend import DTYPES, bool_, library_of, uint8

UNFINISHED = ".unfinished"  # how the name of a file ends that is still being written


class CheckpointError(ValueError):
    """A file of weights that cannot be read; the message names it and says why."""


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that a crash at any moment leaves the old content or the new, never a part of either.

    The bytes go to a temporary file beside it, reach the disk, and only then take the name. Raises OSError.
    """
    path = os.path.realpath(path)  # what a link points to is replaced, not the link
    temporary = f"{path}.{os.urandom(4).hex()}{UNFINISHED}"
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def save(state: Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    """Write Tensors by name, as `model.state_dict()` gives them. Raises TypeError for other values, OSError for disks.

    The old file stays until the new one is whole.
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"save: expected Tensors by name, as state_dict() gives them, got {type(state).__name__}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise TypeError(f"save: expected Tensors by name, got {name!r}: {type(value).__name__}")
    arrays = {name: library_of(value.array).to_host(value.array).copy(order="C") for name, value in state.items()}
    write_atomically(path, to_bytes(arrays))


def load(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The Tensors of a safetensors file by name, on the CPU.

    Raises OSError where it cannot be read, CheckpointError where it is no such file, damaged, or of a dtype that
    minigrad leaves out.
    """
    try:
        with open(path, "rb") as file:
            arrays = from_bytes(file.read())
    except SafetensorError as error:
        raise CheckpointError(f"load: {path} is no safetensors file, or damaged: {error}") from error
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:  # a dtype or shape NumPy lacks
        raise CheckpointError(f"load: {path} holds what minigrad cannot: {error}") from error
    for name, array in arrays.items():
        if array.dtype not in DTYPES:
            raise CheckpointError(f"load: {path} holds what minigrad cannot: {name} of dtype {array.dtype}")
        if array.dtype == bool_ and array.view(uint8).max(initial=0) > 1:
            raise CheckpointError(f"load: {path} is damaged: {name} is bool, but has bytes other than 0 and 1")
    # Some versions of safetensors give arrays that are read-only.
    return {name: Tensor(array if array.flags.writeable else array.copy()) for name, array in arrays.items()}
