"""The reader of IDX files, and the counts that MNIST expects of them."""

import gzip
import importlib
import struct

import pytest

from minigrad.data import MNIST, DataError, idx


def idx_file(*lengths, content=b"", magic=None):
    """The bytes of an IDX file."""
    return (magic or bytes([0, 0, 8, len(lengths)])) + struct.pack(f">{len(lengths)}I", *lengths) + content


@pytest.mark.parametrize(("train", "name", "count"), [(True, "train", 60000), (False, "t10k", 10000)])
def test_mnist_with_another_number_of_images_raises(train, name, count, tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / f"{name}-images-idx3-ubyte").write_bytes(idx_file(1, 28, 28, content=bytes(784)))
    with pytest.raises(DataError, match=f"expected {count} x 28 x 28 elements by its header, got 1 x 28 x 28"):
        MNIST(tmp_path, train=train)


def test_gzip_file_longer_than_its_header_raises(tmp_path, monkeypatch):
    monkeypatch.setattr(idx, "CHUNK", 64)
    whole = gzip.compress(idx_file(100, content=bytes(range(100))))
    (tmp_path / "right.gz").write_bytes(whole)
    assert idx.read(str(tmp_path / "right.gz"), (100,)).tolist() == list(range(100))
    longer = gzip.compress(idx_file(100, content=bytes(300)))
    (tmp_path / "longer.gz").write_bytes(longer[:-4] + whole[-4:])  # it says that it is as long as the right one
    with pytest.raises(DataError, match="expected 100 bytes after its header, got more"):
        idx.read(str(tmp_path / "longer.gz"), (100,))


@pytest.mark.parametrize(
    ("magic", "words"),
    [
        (b"\1\x08\0\0", "1 8 0 0, in little-endian byte order"),
        (b"\1\x09\0\0", "got 1 9 0 0;"),
        (b"\1\x08\1\0", "1 8 1 0;"),
    ],
)
def test_wrong_byte_order_is_named_only_if_it_is_one(magic, words, tmp_path):
    (tmp_path / "labels").write_bytes(idx_file(1, content=b"\0", magic=magic))
    with pytest.raises(DataError, match=words):
        idx.read(str(tmp_path / "labels"), (1,))


def test_incompatible_torchvision_raises_its_own_message(tmp_path, monkeypatch):
    def broken(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(DataError, match=r"fails to import .* are incompatible"):
        MNIST(tmp_path, download=True)
