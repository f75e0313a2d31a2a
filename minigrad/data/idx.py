"""Defensive reader for the IDX files of MNIST. A corrupt file raises an error that names it; no data is returned.

An IDX file is a header followed by one unsigned byte per element, in row-major order. The numbers of the header have
four bytes, big-endian:

    0 0 8 d     the magic number: 8 for unsigned bytes, d axes
    n_1 ... n_d the size of each axis

The file may be compressed with gzip, which adds a checksum (CRC-32).
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
import zlib
from typing import Any, BinaryIO

from .. import backend
from ..files import reading

CHUNK = 1 << 20


class DataError(ValueError):
    """A data file is corrupt, unreadable or another file than expected; the message names it and says what to do."""


class DataNotFoundError(DataError, FileNotFoundError):
    """A data file is missing; the message says where it was expected and what to do."""


def read(path: str, shape: tuple[int, ...], md5: str | None = None) -> Any:
    """Read an IDX file into a NumPy array.

    Args:
        path: the file; compressed with gzip if the name ends in .gz.
        shape: the expected shape. It is compared with the header and the size of the file before memory is allocated.
        md5: the expected MD5 sum of the file, if any.

    Returns:
        The elements, uint8.

    Raises:
        DataNotFoundError: there is no such file.
        DataError: it cannot be read, is corrupt, or has another shape or MD5 sum.
    """
    import gzip  # here, to keep `import minigrad` quick

    try:
        with reading(path) as file:
            source = HashingReader(file)
            if not path.endswith(".gz"):
                array = _parse(path, source, shape, os.fstat(file.fileno()).st_size)
            elif source.peek(2) != b"\x1f\x8b":
                raise corrupt_file_error(path, "expected a gzip file, got other content")
            else:
                with gzip.GzipFile(fileobj=source) as stream:  # type: ignore[call-overload]
                    array = _parse(path, stream, shape)
            if md5 is not None and (found := source.md5()) != md5:
                raise corrupt_file_error(path, f"expected MD5 sum {md5}, got {found}")
    except DataError:
        raise
    except EOFError as error:
        raise corrupt_file_error(path, f"truncated, as by a download that was cut off, or broken ({error})") from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise corrupt_file_error(path, f"its compressed data are broken ({error})") from error
    except FileNotFoundError as error:
        raise DataNotFoundError(f"{path}: file not found") from error
    except OSError as error:
        shown = path if path.isprintable() else ascii(path)
        raise DataError(f"{shown}: cannot be read: {error.strerror or error}") from error
    return array


class HashingReader:
    """A file that is read once: the bytes that are parsed are those of the MD5 sum."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.hash = hashlib.md5(usedforsecurity=False)
        self.peeked = b""

    def peek(self, size: int) -> bytes:
        """The first bytes, which `read` returns again."""
        self.peeked = self.file.read(size)
        self.hash.update(self.peeked)
        return self.peeked

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`; at the end b""."""
        if self.peeked:
            chunk, self.peeked = self.peeked[:size], self.peeked[size:]
            return chunk
        chunk = self.file.read(size)
        self.hash.update(chunk)
        return chunk

    def md5(self) -> str:
        """The MD5 sum of the whole file, whose rest is read."""
        while self.read(CHUNK):
            pass
        return self.hash.hexdigest()


def corrupt_file_error(path: str, problem: str) -> DataError:
    """The error for a file that cannot be used."""
    return DataError(f"{path}: {problem}; delete the file and download it again (download=True does both)")


def _parse(path: str, stream: Any, shape: tuple[int, ...], length: int | None = None) -> Any:
    """The array in a stream of `length` bytes, if that is known."""
    magic = stream.read(4)
    if magic != bytes([0, 0, 8, len(shape)]):
        expected = f"expected an IDX file with {len(shape)} axes (0 0 8 {len(shape)})"
        raise corrupt_file_error(path, f"{expected}, got {_describe_magic(magic)}")
    header = stream.read(4 * len(shape))
    if len(header) != 4 * len(shape):
        raise corrupt_file_error(path, "truncated within its header, as by a download that was cut off")
    found = struct.unpack(f">{len(shape)}I", header)
    if found != shape:
        swapped = struct.unpack(f"<{len(shape)}I", header) == shape
        hint = ", in little-endian byte order" if swapped else ""
        expected = f"expected {format_shape(shape)} elements by its header"
        raise corrupt_file_error(path, f"{expected}, got {format_shape(found)}{hint}")
    size = math.prod(shape)
    rest: Any = size if length is None else length - len(magic) - len(header)
    if rest == size:
        array = backend.numpy.empty(size, backend.uint8)
        rest = 0
        while rest < size and (chunk := stream.read(min(CHUNK, size - rest))):
            array[rest : rest + len(chunk)] = backend.numpy.frombuffer(chunk, backend.uint8)
            rest += len(chunk)
        if rest == size:
            if not stream.read(1):  # at the end of a gzip file this also compares its CRC-32
                return array.reshape(shape)
            rest = "more"
    cut = ": truncated, as by a download that was cut off" if isinstance(rest, int) and rest < size else ""
    raise corrupt_file_error(path, f"expected {size} bytes after its header, got {rest}{cut}")


def _describe_magic(magic: bytes) -> str:
    if len(magic) < 4:
        return f"only {len(magic)} bytes"
    zeros, kind, axes = magic[:2], magic[2], magic[3]
    if zeros == b"\0\0" and kind == 8 and axes in (1, 3):
        return f"{'labels (1 axis)' if axes == 1 else 'images (3 axes)'}; the file may be misnamed"
    number = " ".join(map(str, magic))
    return f"{number}, in little-endian byte order" if magic[2:] == b"\0\0" and magic[1] == 8 else number


def format_shape(shape: tuple[int, ...]) -> str:
    """A shape as "60000 x 28 x 28"."""
    return " x ".join(map(str, shape))
