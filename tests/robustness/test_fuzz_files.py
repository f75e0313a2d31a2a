"""The seeds of the fuzzers in fuzzing/, without atheris: the property of each target holds for every seed."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzzing import fuzz_idx, fuzz_weights

import minigrad as mg

SEEDS = Path(__file__).parent / "fuzzing" / "seeds"
READ = {"labels", "images", "none", "labels_gz", "images_gz", "none_gz", "batch_gz", "named_gz"}
READ |= {"stored_gz", "members_gz", "padded_gz"}
LOADED = {"no_tensors", "linear", "metadata", "bool", "nan", "zero_sized", "small_ints", "nameless", "nul_name"}
LOADED |= {"padded", "unaligned", "many"}


@pytest.fixture(autouse=True)
def _traced_memory() -> Iterator[None]:
    """The targets check the allocated memory."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("seed", sorted((SEEDS / "idx").iterdir()), ids=lambda path: path.name)
def test_idx_seeds(seed: Path, tmp_path: Path) -> None:
    ends = fuzz_idx.target(seed.read_bytes(), str(tmp_path))
    assert ends.count("read") == (seed.name in READ)


@pytest.mark.parametrize("seed", sorted((SEEDS / "weights").iterdir()), ids=lambda path: path.name)
def test_weights_seeds(seed: Path, tmp_path: Path) -> None:
    end = fuzz_weights.target(seed.read_bytes(), str(tmp_path))
    assert (end == "loaded") == (seed.name in LOADED), end


def test_large_file_of_weights(tmp_path: Path) -> None:
    """Its arrays take more memory than the objects around them."""
    mg.save({"weight": mg.ones(1000, 500), "bias": mg.ones(500)}, tmp_path / "weights")
    assert fuzz_weights.target((tmp_path / "weights").read_bytes(), str(tmp_path)) == "loaded"


def test_truncated_files_are_never_read(tmp_path: Path) -> None:
    images = (SEEDS / "idx" / "images").read_bytes()
    weights = (SEEDS / "weights" / "linear").read_bytes()
    for whole in (images, gzip.compress(images, mtime=0)):
        for length in range(len(whole)):
            assert "read" not in fuzz_idx.target(whole[:length], str(tmp_path))
    for length in range(len(weights)):
        assert fuzz_weights.target(weights[:length], str(tmp_path)) != "loaded"


@pytest.mark.parametrize("broken", ["a wrong byte", "another error", "too much memory"])
def test_targets_detect_a_broken_reader(broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, load = fuzz_idx.read, mg.load

    def wrong(good, change):
        def function(*args):
            if broken == "another error":
                raise KeyError("x")
            if broken == "too much memory":
                bytearray(1 << 23)
            result = good(*args)
            if broken == "a wrong byte":
                change(result)
            return result

        return function

    def change_weights(state):
        state["weight"][0] = 7.0

    def change_image(array):
        array[0] ^= 1

    monkeypatch.setattr(fuzz_idx, "read", wrong(read, change_image))
    monkeypatch.setattr(mg, "load", wrong(load, change_weights))
    for module, seed in ((fuzz_idx, "idx/images"), (fuzz_weights, "weights/linear")):
        with pytest.raises((AssertionError, KeyError)):
            module.target((SEEDS / seed).read_bytes(), str(tmp_path))
