"""Coverage-guided fuzzing of the loader of weights, `minigrad.load`.

    pip install atheris
    python fuzz_weights.py -max_total_time=600            # from the seeds; new inputs are not kept
    python fuzz_weights.py FOLDER -max_total_time=600     # and from FOLDER, where new inputs are kept

An input is the content of a file. The properties that `target` checks hold for every file; test_fuzz_files.py
checks them for the seeds, without atheris.
"""

from __future__ import annotations

import json
import os
import random
import re
import struct
import tracemalloc

if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["minigrad"]):
        import minigrad  # noqa: F401 (the first import is the instrumented one)

import minigrad as mg
from minigrad.backend import DTYPES
from minigrad.serialization import CheckpointError

NAMES = {"BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64"}
NAMES |= {"F32": "float32", "F64": "float64"}
EACH = 1024  # bytes of memory for a Tensor, besides its elements
WORDS = [*NAMES, "F16", "BF16", "F8_E4M3", "F4", "U64", "C64", "dtype", "shape", "data_offsets", "__metadata__"]
NUMBERS = [0, 1, 4, 8, 65, 2**31, 2**32, 2**62, 2**63, 2**64 - 1, 2**64, -1]


def target(data: bytes, folder: str) -> str:
    """Load a file with this content. Returns "loaded" or the error message.

    Needs a running `tracemalloc`. Raises AssertionError for an error other than CheckpointError, or one that does not
    name the file; for Tensors that differ from the content, or are not the same after saving and loading; for more
    memory than twice the file.
    """
    path = os.path.join(folder, "weights.safetensors")
    with open(path, "wb") as file:
        file.write(data)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    try:
        state = mg.load(path)
    except CheckpointError as error:
        state, end = {}, str(error)
    else:
        end = "loaded"
    assert end == "loaded" or path in end, end
    peak = tracemalloc.get_traced_memory()[1] - before
    tensors = data.count(b"data_offsets")
    assert peak <= 2 * len(data) + EACH * (tensors + 64), f"{peak} bytes of memory for a file of {len(data)}"
    if end == "loaded":
        (length,) = struct.unpack("<Q", data[:8])
        header, elements = json.loads(data[8 : 8 + length]), data[8 + length :]
        header.pop("__metadata__", None)
        assert state.keys() == header.keys()
        for name, tensor in state.items():
            start, stop = header[name]["data_offsets"]
            expected = (NAMES[header[name]["dtype"]], tuple(header[name]["shape"]), elements[start:stop])
            assert (str(tensor.dtype), tensor.shape, tensor.numpy().tobytes()) == expected
            assert tensor.dtype in DTYPES
            assert tensor.numpy().flags.writeable
        mg.save(state, path)
        again = mg.load(path)
        assert [described(name, again[name]) for name in sorted(again)] == [
            described(name, state[name]) for name in sorted(state)
        ]
    return end


def described(name: str, tensor: mg.Tensor) -> tuple:
    """A Tensor in comparable form, bit by bit, so that nan equals nan."""
    return name, tensor.shape, tensor.dtype, tensor.numpy().tobytes()


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Change bytes, or a word or number of the header, and usually correct the header's length."""
    rng = random.Random(seed)
    (length,) = struct.unpack("<Q", data[:8].ljust(8, b"\0"))
    header, elements = data[8 : 8 + length], data[8 + length :]
    kind = rng.randrange(4)
    if kind == 0 or len(data) < 8 or length > len(data):
        return atheris.Mutate(data, max_size)
    places = list(re.finditer(rb"-?\d+|[A-Za-z_]\w*", header))
    if kind == 1 or not places:
        header = atheris.Mutate(header, max_size)
    elif kind == 2:
        place = rng.choice(places)
        words = NUMBERS if place[0].lstrip(b"-").isdigit() else WORDS
        header = header[: place.start()] + str(rng.choice(words)).encode() + header[place.end() :]
    else:
        elements = atheris.Mutate(elements, max_size)
    return (struct.pack("<Q", len(header)) + header + elements)[:max_size]


if __name__ == "__main__":
    from run import fuzz

    fuzz(target, mutate, "weights")
