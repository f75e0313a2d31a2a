"""Weights in files: the round trip, torch's reading of them, and files that are no weights."""

import json
import os
import random
import struct

import numpy as np
import pytest
from hypothesis import settings

import minigrad as mg
from minigrad import nn
from minigrad import serialization as checkpoint
from minigrad.serialization import CheckpointError, load_with_notes, save_with_notes


def model():
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


def test_save_and_load_are_bit_identical(tmp_path):
    ours, path = model(), tmp_path / "weights.safetensors"
    mg.save(ours.state_dict(), path)
    other = model()
    other.load_state_dict(mg.load(path))
    for (name, one), (_, two) in zip(ours.state_dict().items(), other.state_dict().items()):
        assert np.array_equal(one.numpy(), two.numpy()), name
    assert os.listdir(tmp_path) == ["weights.safetensors"]


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_every_dtype_and_shape(tmp_path, dtype, shape):
    value = mg.ones(shape, dtype=dtype)
    mg.save({"x": value}, tmp_path / "x")
    again = mg.load(tmp_path / "x")["x"]
    assert (again.shape, again.dtype, again.tolist()) == (value.shape, value.dtype, value.tolist())


def test_transposed_tensor_is_saved_in_logical_order(tmp_path):
    x = mg.arange(6).reshape(2, 3).T
    mg.save({"x": x}, tmp_path / "x")
    assert mg.load(tmp_path / "x")["x"].tolist() == x.tolist()


def test_files_are_exchanged_with_torch(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is the other side of this test")
    from safetensors.torch import load_file, save_file

    ours = model()
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    x = np.random.default_rng(0).standard_normal((5, 4)).astype("float32")
    mg.save(ours.state_dict(), tmp_path / "ours")
    theirs.load_state_dict(load_file(tmp_path / "ours"))
    expected = theirs(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(ours(mg.tensor(x)).detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    save_file(theirs.state_dict(), tmp_path / "theirs")
    again = model()
    again.load_state_dict(mg.load(tmp_path / "theirs"))
    np.testing.assert_allclose(again(mg.tensor(x)).detach().numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "header"])
def test_corrupt_weights_file_raises_with_its_name(tmp_path, damage):
    path = tmp_path / "weights.safetensors"
    mg.save(model().state_dict(), path)
    whole = path.read_bytes()
    path.write_bytes(
        {"empty": b"", "text": b"weights" * 100, "truncated": whole[:-7], "header": b"\xff" * 8 + whole[8:]}[damage]
    )
    with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
        mg.load(path)


def test_every_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "weights"
    mg.save({**model().state_dict(), "none": mg.zeros(0, 3), "step": mg.tensor(3), "flag": mg.tensor([True])}, path)
    whole = path.read_bytes()
    bits = range(0, 8 * len(whole), 1 if settings().max_examples >= 1000 else 7)
    for bit in bits:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError) as caught:
            mg.load(path)
        assert "\n" not in str(caught.value)


def test_edited_files_load_unchanged_or_not_at_all(tmp_path):
    path, edits = tmp_path / "weights", random.Random(0)
    mg.save(model().state_dict(), path)
    whole, expected = path.read_bytes(), {name: value.tolist() for name, value in mg.load(path).items()}
    messages = []
    for _ in range(2000 if settings().max_examples >= 1000 else 200):
        damaged, at = bytearray(whole), edits.randrange(len(whole))
        piece = bytes(edits.randrange(256) for _ in range(edits.randrange(4)))
        damaged[at : at + edits.randrange(4)] = piece
        path.write_bytes(damaged)
        try:
            assert {name: value.tolist() for name, value in mg.load(path).items()} == expected
        except CheckpointError as error:
            messages.append(str(error))
    assert messages
    assert not any("\n" in message for message in messages)


def test_checksum_is_checked_only_if_it_is_there(tmp_path):
    from safetensors.numpy import save_file

    for metadata in (None, {"format": "pt"}, {"written by": "minigrad"}):
        save_file({"x": np.ones(2, dtype="float32")}, tmp_path / "theirs", metadata)
        assert mg.load(tmp_path / "theirs")["x"].tolist() == [1.0, 1.0]


def test_notes_are_stored_with_the_tensors(tmp_path):
    notes = {"epoch": 3, "name": "é\udcff", "rate": 0.1}
    save_with_notes({"x": mg.ones(2)}, tmp_path / "x", notes)
    state, found = load_with_notes(tmp_path / "x")
    assert (state["x"].tolist(), found) == ([1.0, 1.0], notes)
    mg.save({"x": mg.ones(2)}, tmp_path / "x")
    assert load_with_notes(tmp_path / "x")[1] == {}


@pytest.mark.parametrize("name", ["__metadata__", "\ud800", "a\udfff"])
def test_impossible_tensor_name_is_an_error(tmp_path, name):
    mg.save({"x": mg.ones(2)}, tmp_path / "x")
    with pytest.raises(ValueError, match="cannot be the name of a Tensor"):
        mg.save({name: mg.ones(1)}, tmp_path / "x")
    assert list(mg.load(tmp_path / "x")) == ["x"]


def test_missing_weights_file_raises_with_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        mg.load(tmp_path / "nowhere")


def test_save_keeps_links_and_default_permissions(tmp_path):
    (tmp_path / "plain").write_text("")
    (tmp_path / "link").symlink_to("weights")
    mg.save({"x": mg.ones(2)}, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "weights").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_only_tensors_by_name_are_saved(tmp_path):
    for state in ({"x": 1}, {1: mg.ones(1)}, {"x": np.ones(1)}):
        with pytest.raises(TypeError, match="expected Tensors by name"):
            mg.save(state, tmp_path / "x")
    assert not os.listdir(tmp_path)


def test_load_of_a_bool_other_than_0_and_1_raises(tmp_path):
    header = json.dumps({"x": {"dtype": "BOOL", "shape": [2], "data_offsets": [0, 2]}}).encode()
    path = tmp_path / "weights"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\x00\x01")
    assert mg.load(path)["x"].tolist() == [False, True]
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\x00\x02")
    with pytest.raises(CheckpointError, match="x is bool, but has bytes other than 0 and 1"):
        mg.load(path)


def test_load_of_a_read_only_array_is_writeable(tmp_path, monkeypatch):
    def read_only(content):
        array = np.ones(2)
        array.flags.writeable = False
        return {"x": array}

    mg.save({"x": mg.ones(2)}, tmp_path / "weights")
    monkeypatch.setattr(checkpoint, "from_bytes", read_only)
    assert mg.load(tmp_path / "weights")["x"].fill_(3.0).tolist() == [3.0, 3.0]
