"""Coverage-guided fuzzing of the reader of data files, `minigrad.data.idx.read`.

    pip install atheris
    python fuzz_idx.py -max_total_time=600            # from the seeds; new inputs are not kept
    python fuzz_idx.py FOLDER -max_total_time=600     # and from FOLDER, where new inputs are kept

An input is the content of a file. It is read as it is and as a .gz, with each of `SHAPES` expected. The
properties that `target` checks hold for every file; test_fuzz_files.py checks them for the seeds, without atheris.
"""

from __future__ import annotations

import gzip
import math
import os
import random
import struct
import tracemalloc
import zlib

if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["minigrad"]):
        import minigrad.data  # noqa: F401 (the first import is the instrumented one)

import numpy as np

from minigrad.data import DataError
from minigrad.data.idx import read

SHAPES = ((0,), (5,), (2, 3, 4), (40, 28, 28))
BUFFERS = 1 << 20  # memory of gzip besides the elements, independent of the compressed size


def contents(data: bytes, packed: bool) -> bytes | None:
    """The content of the file, decompressed without the reader; None if it is not a gzip file."""
    if not packed:
        return data
    whole = bytearray()
    try:
        while data:
            member = zlib.decompressobj(wbits=31)
            whole += member.decompress(data)
            if not member.eof:
                return None
            data = member.unused_data.lstrip(b"\0")  # zeros may fill up a file
    except zlib.error:
        return None
    return bytes(whole)


def target(data: bytes, folder: str) -> list[str]:
    """Read a file with this content. Returns "read" or the error message for each read.

    Needs a running `tracemalloc`. Raises AssertionError for an error other than DataError, or one that does not name
    the file; for an array that differs from the content; for more memory than twice the expected size.
    """
    ends = []
    for name in ("file", "file.gz"):
        path = os.path.join(folder, name)
        with open(path, "wb") as file:
            file.write(data)
        for shape in SHAPES:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            try:
                array = read(path, shape)
            except DataError as error:
                array, end = None, str(error)
            else:
                end = "read"
            ends.append(end)
            assert end == "read" or end.startswith(path), end
            peak = tracemalloc.get_traced_memory()[1] - before
            assert peak <= 2 * math.prod(shape) + BUFFERS, f"{peak} bytes of memory for {shape}"
            if array is not None:
                header = struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape)
                assert (array.shape, array.dtype) == (shape, np.uint8)
                assert array.flags.writeable
                assert contents(data, name.endswith(".gz")) == header + array.tobytes()
    return ends


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Half of the mutations of a gzip file change its content, since a changed .gz seldom passes its checksum."""
    inside = contents(data, True) if data[:2] == b"\x1f\x8b" else None
    if inside is None or seed % 2:
        return atheris.Mutate(data, max_size)
    changed = gzip.compress(
        atheris.Mutate(inside[:max_size], max_size), compresslevel=random.Random(seed).choice((0, 9))
    )
    return changed[:max_size]


if __name__ == "__main__":
    from run import fuzz

    fuzz(target, mutate, "idx")
