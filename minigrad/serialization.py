"""Save and load Tensors in the safetensors format, which contains arrays and no code.

torch reads and writes the same files: `safetensors.torch.load_file(path)`.
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

TEMPORARY_SUFFIX = ".unfinished"  # of a file that is being written


class CheckpointError(ValueError):
    """A file is not a safetensors file, or is corrupt; the message names it and says why."""


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that a crash at any moment leaves the old or the new content, never a part of it.

    The bytes are written to a temporary file in the same folder and flushed to the disk; then it is renamed.
    """
    path = os.path.realpath(path)  # replaces the target of a link, not the link
    temporary = f"{path}.{os.urandom(4).hex()}{TEMPORARY_SUFFIX}"
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
    """Write Tensors by name to a file. An existing file is replaced atomically.

    Args:
        state: for instance `model.state_dict()`.
        path: the file, by convention *.safetensors.

    Raises:
        TypeError: `state` is not a mapping of names to Tensors.
        OSError: the file cannot be written.

    Example:
        >>> import os, tempfile
        >>> import minigrad as mg
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "weights.safetensors")
        ...     mg.save({"w": mg.tensor([1.0, 2.0])}, path)
        ...     mg.load(path)
        {'w': tensor([1., 2.])}
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"save: expected Tensors by name, as in state_dict(), got {type(state).__name__}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise TypeError(f"save: expected Tensors by name, got {name!r}: {type(value).__name__}")
    arrays = {name: library_of(value.array).to_host(value.array).copy(order="C") for name, value in state.items()}
    write_atomically(path, to_bytes(arrays))


def load(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the Tensors of a safetensors file, by name, on the CPU.

    Raises:
        OSError: the file cannot be read.
        CheckpointError: it is not a safetensors file, is corrupt, or has an unsupported dtype.
    """
    try:
        with open(path, "rb") as file:
            arrays = from_bytes(file.read())
    except SafetensorError as error:
        raise CheckpointError(f"load: {path} is not a safetensors file, or is corrupt: {error}") from error
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:  # a dtype or shape NumPy lacks
        raise CheckpointError(f"load: {path} has an unsupported dtype or shape: {error}") from error
    for name, array in arrays.items():
        if array.dtype not in DTYPES:
            raise CheckpointError(f"load: {path} has an unsupported dtype: {name} is {array.dtype}")
        if array.dtype == bool_ and array.view(uint8).max(initial=0) > 1:
            raise CheckpointError(f"load: {path} is corrupt: {name} is bool, but has bytes other than 0 and 1")
    # Some versions of safetensors return read-only arrays.
    return {name: Tensor(array if array.flags.writeable else array.copy()) for name, array in arrays.items()}
