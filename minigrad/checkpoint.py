"""Weights in files: `save` and `load`, in the safetensors format, which holds arrays and cannot run code.

The same files are read and written by torch: `safetensors.torch.load_file(path)`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as to_bytes

from .backend import OWNERS
from .creation import from_numpy
from .tensor import Tensor


class CheckpointError(ValueError):
    """A file of weights that cannot be read; the message names it and says why."""


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that a crash at any moment leaves the old content or the new, never a part of either.

    The bytes go to a temporary file beside it, reach the disk, and only then take the name. Raises OSError.
    """
    import tempfile  # a slow import, for savers only

    folder, name = os.path.split(os.path.abspath(path))
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def save(state: Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    """Write Tensors by name, as `model.state_dict()` gives them. Raises TypeError for other values, OSError for disks.

    The old file stays until the new one is whole.
    """
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise TypeError(f"save: expected Tensors by name, got {name!r}: {type(value).__name__}")
    arrays = {name: OWNERS[type(value.array)].to_host(value.array).copy(order="C") for name, value in state.items()}
    write_atomically(path, to_bytes(arrays))


def load(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The Tensors of a safetensors file by name, on the CPU.

    Raises FileNotFoundError where there is none, CheckpointError where it is no such file or damaged.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"load: no such file: {path}")
    try:
        return {name: from_numpy(array) for name, array in load_file(path).items()}
    except (SafetensorError, KeyError, TypeError) as error:
        raise CheckpointError(f"load: {path} is no safetensors file, or damaged: {error}") from error
