"""Save and load Tensors in the safetensors format, which contains arrays and no code.

torch reads and writes the same files: `safetensors.torch.load_file(path)`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load as from_bytes
from safetensors.numpy import save as to_bytes

from .autograd.tensor import Tensor
from .backend import DTYPES, bool_, library_of, uint8
from .files import reading, write_atomically

MARK = "minigrad"  # the key of the metadata; both it and their text have it, so that no flipped bit hides a checksum


class CheckpointError(ValueError):
    """A file is not a safetensors file, or is corrupt; the message names it and says why."""


def save(state: Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    """Write Tensors by name to a file. An existing file is replaced atomically.

    The metadata of the file have a SHA-256 sum of the Tensors, which `load` verifies.

    Args:
        state: for instance `model.state_dict()`.
        path: the file, by convention *.safetensors.

    Raises:
        TypeError: `state` is not a mapping of names to Tensors.
        ValueError: the format cannot have one of the names.
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
    save_with_notes(state, path, {})


def save_with_notes(state: Mapping[str, Tensor], path: str | os.PathLike[str], notes: Mapping[str, Any]) -> None:
    """As `save`, with notes (anything that JSON can represent) in the metadata of the file."""
    if not isinstance(state, Mapping):
        raise TypeError(f"save: expected Tensors by name, as in state_dict(), got {type(state).__name__}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise TypeError(f"save: expected Tensors by name, got {name!r}: {type(value).__name__}")
        if name == "__metadata__" or any("\ud800" <= c <= "\udfff" for c in name):
            raise ValueError(f"save: {name!r} cannot be the name of a Tensor in a safetensors file; use another name")
    arrays = {name: library_of(value.array).to_host(value.array).copy(order="C") for name, value in state.items()}
    header, data = split(to_bytes(arrays))
    text = json.dumps({MARK: 1, **notes})
    text = json.dumps({MARK: 1, **notes, "sha256": checksum(header, data, text)})
    encoded = json.dumps({"__metadata__": {MARK: text}, **header}, separators=(",", ":"), ensure_ascii=False).encode()
    encoded += b" " * (-len(encoded) % 8)  # aligns the elements
    write_atomically(path, b"".join((len(encoded).to_bytes(8, "little"), encoded, data)))


def split(content: bytes) -> tuple[dict[str, Any], memoryview]:
    """The header and the elements of a safetensors file."""
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), memoryview(content)[end:]


def checksum(header: Mapping[str, Any], data: memoryview, text: str) -> str:
    """SHA-256 of a text and of the names, dtypes, shapes and elements of Tensors."""
    sha256 = hashlib.sha256(json.dumps([text, header], sort_keys=True).encode())
    sha256.update(data)
    return sha256.hexdigest()


def load(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the Tensors of a safetensors file, by name, on the CPU.

    Raises:
        OSError: the file cannot be read.
        CheckpointError: it is not a safetensors file, is corrupt, or has an unsupported dtype.
    """
    return load_with_notes(path)[0]


def load_with_notes(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """As `load`, with the notes of `save_with_notes`; a file that has none, or is not from minigrad, has {}."""
    try:
        with reading(path) as file:
            content = file.read()
        arrays = from_bytes(content)
    except SafetensorError as error:
        raise CheckpointError(f"load: {path} is not a safetensors file, or is corrupt: {error}") from error
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:  # a dtype or shape NumPy lacks
        raise CheckpointError(f"load: {path} has an unsupported dtype or shape: {error}") from error
    for name, array in arrays.items():
        if array.dtype not in DTYPES:
            raise CheckpointError(f"load: {path} has an unsupported dtype: {name} is {array.dtype}")
        if array.dtype == bool_ and array.view(uint8).max(initial=0) > 1:
            raise CheckpointError(f"load: {path} is corrupt: {name} is bool, but has bytes other than 0 and 1")
    try:
        notes = verified_notes(content)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"load: {path} is corrupt: expected the SHA-256 sum of its content, got another"
        ) from error
    # Some versions of safetensors return read-only arrays.
    return {name: Tensor(array if array.flags.writeable else array.copy()) for name, array in arrays.items()}, notes


def verified_notes(content: bytes) -> dict[str, Any]:
    """The notes of a file that minigrad wrote. Raises KeyError, TypeError or ValueError if its checksum is wrong."""
    start = content[: 8 + int.from_bytes(content[:8], "little")]
    if f'"{MARK}":'.encode() not in start and f'{{\\"{MARK}\\":'.encode() not in start:
        return {}
    header, data = split(content)
    notes = json.loads(header.pop("__metadata__")[MARK])
    expected = notes.pop("sha256")
    if checksum(header, data, json.dumps(notes)) != expected or notes.pop(MARK) != 1:
        raise ValueError("another checksum")
    return notes
