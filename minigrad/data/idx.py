"""The IDX format of MNIST's files, read without trust: what is damaged is refused by name before anything is used.

A file is a header and then one unsigned byte for each element, in row-major order. All header numbers have four bytes,
the most significant first:

    0 0 8 d     the magic number: 8 for unsigned bytes, d axes
    n_1 ... n_d the length of each axis

It may be compressed by gzip, which ends with a checksum (CRC-32) and the length of what was compressed, modulo 2³².
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
import zlib
from typing import Any, BinaryIO

from .. import backend

CHUNK = 1 << 20


class DataError(ValueError):
    """A data file is damaged, unreadable or not the one that was expected; the message names it and says what to do."""


class DataNotFoundError(DataError, FileNotFoundError):
    """A data file is missing; the message says where it was looked for and what to do."""


def read(path: str, shape: tuple[int, ...], md5: str | None = None) -> Any:
    """The bytes of an IDX file as a NumPy array of this shape, uint8. `path` may end in .gz.

    `md5` is the sum that the file as it stands must have. Raises DataError, and then nothing was read: for another
    magic number, number of axes or length; for a file longer or shorter than its header says, before memory is taken;
    for gzip damage; for another sum; for a file that cannot be read, DataNotFoundError for one that is not there.
    """
    import gzip  # here, to keep `import minigrad` quick

    try:
        with open(path, "rb") as file:
            length = _uncompressed_length(path, file)
            if path.endswith(".gz"):
                with gzip.GzipFile(fileobj=file) as stream:
                    array = _parse(path, stream, length, shape)
            else:
                array = _parse(path, file, length, shape)
            if md5 is not None and (found := _md5(file)) != md5:
                raise damaged(path, f"its MD5 sum is {found}, that of the published file {md5}")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise damaged(path, f"its compressed data are broken ({error})") from error
    except FileNotFoundError as error:
        raise DataNotFoundError(f"{path}: there is no such file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    return array


def damaged(path: str, what: str) -> DataError:
    """The error for a file that cannot be used."""
    return DataError(f"{path}: {what}; delete the file and get it again (download=True does both)")


def _uncompressed_length(path: str, file: BinaryIO) -> int:
    """How many bytes the file holds, or says that it holds where it is compressed."""
    size = os.fstat(file.fileno()).st_size
    if not path.endswith(".gz"):
        return size
    if size < 18 or file.read(2) != b"\x1f\x8b":
        raise damaged(path, f"expected a gzip file, got {size} bytes that are none")
    file.seek(-4, os.SEEK_END)
    last = file.read(4)
    if len(last) < 4:
        raise EOFError("it was cut while it was read")
    file.seek(0)
    return int.from_bytes(last, "little")


def _parse(path: str, stream: Any, length: int, shape: tuple[int, ...]) -> Any:
    magic = stream.read(4)
    if magic != bytes([0, 0, 8, len(shape)]):
        raise damaged(path, f"expected an IDX file with {len(shape)} axes (0 0 8 {len(shape)}), {_meaning(magic)}")
    header = stream.read(4 * len(shape))
    if len(header) != 4 * len(shape):
        raise damaged(path, "it ends within its header")
    found = struct.unpack(f">{len(shape)}I", header)
    if found != shape:
        swapped = struct.unpack(f"<{len(shape)}I", header) == shape
        hint = ", the bytes of each number in the wrong order" if swapped else ""
        raise damaged(path, f"expected {_product(shape)} elements by its header, got {_product(found)}{hint}")
    size = math.prod(shape)
    if length != len(magic) + len(header) + size:
        rest = length - len(magic) - len(header)
        raise damaged(path, f"expected {size} bytes after its header, got {rest}")
    array = backend.numpy.empty(size, backend.uint8)
    filled = 0
    while filled < size:
        chunk = stream.read(min(CHUNK, size - filled))
        if not chunk:
            raise damaged(path, f"expected {size} bytes after its header, got {filled}")
        array[filled : filled + len(chunk)] = backend.numpy.frombuffer(chunk, backend.uint8)
        filled += len(chunk)
    if stream.read(1):  # where the file is compressed, this also compares its CRC-32
        raise damaged(path, f"expected {size} bytes after its header, got more")
    return array.reshape(shape)


def _meaning(magic: bytes) -> str:
    """What the first four bytes say, in words."""
    if len(magic) < 4:
        return f"got only {len(magic)} bytes"
    zeros, kind, axes = magic[:2], magic[2], magic[3]
    if zeros == b"\0\0" and kind == 8 and axes in (1, 3):
        return f"got {'labels (1 axis)' if axes == 1 else 'images (3 axes)'}: is it another file under this name?"
    if magic[2:] == b"\0\0" and magic[1] == 8:
        return f"got {' '.join(map(str, magic))}, the same in the wrong byte order"
    return f"got {' '.join(map(str, magic))}"


def _product(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _md5(file: BinaryIO) -> str:
    file.seek(0)
    md5 = hashlib.md5(usedforsecurity=False)
    while chunk := file.read(CHUNK):
        md5.update(chunk)
    return md5.hexdigest()
