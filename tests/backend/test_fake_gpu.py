"""The fake GPU: it rejects NumPy, counts host copies, and wraps positions as CuPy does."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from helpers import fake_gpu
from helpers.fake_gpu import StrictArray, host_copies

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import nn, optim
from minigrad.autograd.tensor import note_value_range
from minigrad.backend import library

LIB = library("strict")
xp = LIB.xp


def on_device(values: Any) -> StrictArray:
    return LIB.from_host(np.array(values))


@pytest.mark.parametrize(
    "mix",
    [
        lambda a: np.exp(a),
        lambda a: np.sum(a),
        lambda a: np.where(a > 0, a, 0.0),
        lambda a: np.asarray(a),
        lambda a: np.array([a, a]),
        lambda a: a + np.ones(3),
        lambda a: np.ones(3) + a,
        lambda a: np.float64(2) * a,
        lambda a: a * np.float32(2),
        lambda a: a[np.array([0])],
        lambda a: xp.maximum(a, np.ones(3)),
        lambda a: xp.concatenate([a, np.ones(3)]),
        lambda a: a.__iadd__(np.ones(3)),
        lambda a: a.__setitem__(0, np.float64(1)),
    ],
)
def test_numpy_operands_and_functions_raise(mix: Any) -> None:
    with pytest.raises(TypeError, match="strict device"):
        mix(on_device([1.0, 2.0, 3.0]))


def test_results_are_arrays_and_not_scalars() -> None:
    a = on_device([1.0, 2.0, 3.0])
    for result in (
        a.sum(),
        a[0],
        a @ a,
        a.max(),
        xp.sum(a),
        -a[0],
        a[0] + 1,
        xp.add(a[0], a[1]),
        a > 1,
        xp.amax(a, axis=0),
    ):
        assert type(result) is StrictArray
    assert a[0].shape == ()


def test_positions_out_of_range_wrap_around() -> None:
    a = on_device([1.0, 2.0, 3.0])
    assert a[on_device([3, -4, 1])].tolist() == [1.0, 3.0, 2.0]
    a[on_device([4])] = 9.0
    assert a.tolist() == [1.0, 9.0, 3.0]
    xp.add.at(a, on_device([5, 5]), on_device([1.0, 1.0]))
    assert a.tolist() == [1.0, 9.0, 5.0]


def test_minigrad_checks_positions_out_of_range() -> None:
    x = mg.zeros(3, device="strict")
    with pytest.raises(IndexError, match="index: expected positions from -3 to 2, got 0 to 3"):
        x[mg.tensor([0, 3], device="strict")]


@pytest.mark.parametrize(
    "copy",
    [bool, float, int, lambda a: a.item(), lambda a: a.tolist(), LIB.to_host, lambda a: range(3)[a], lambda a: [1][a:]],
)
def test_copies_to_the_host_are_counted(copy: Any) -> None:
    before = host_copies()
    copy(on_device(1))
    assert host_copies() == before + 1


def test_work_on_the_device_copies_nothing() -> None:
    before = host_copies()
    a = on_device([[1.0, 2.0], [3.0, 4.0]])
    (a @ a.T + a.sum(axis=0) > 2).any()
    assert host_copies() == before


def test_transfers_copy_the_data() -> None:
    host = np.ones(3)
    a = LIB.from_host(host)
    back = LIB.to_host(a)
    a += 1
    assert host.tolist() == back.tolist() == [1.0, 1.0, 1.0]


def test_flags_and_base_are_as_in_cupy() -> None:
    a = on_device([[1.0, 2.0], [3.0, 4.0]])
    assert a.flags.c_contiguous
    assert not a.T.flags.c_contiguous
    assert a.base is None
    assert a.T.base is a[0].base is a.T[1:].base is a
    assert not hasattr(a.flags, "writeable")


def test_namespace_has_only_common_functions() -> None:
    with pytest.raises(AttributeError, match="`nonsense` is not among the functions that NumPy and CuPy both have"):
        _ = xp.nonsense
    with pytest.raises(AttributeError, match="`block`"):  # only in NumPy
        _ = xp.block
    names = f"{fake_gpu.UFUNCS} {fake_gpu.FUNCTIONS} {fake_gpu.CONSTANTS}".split()
    assert [name for name in names if not hasattr(np, name)] == []


@pytest.mark.skipif(find_spec("cupy") is None, reason="CuPy is not installed")
def test_cupy_has_every_function_of_the_fake_gpu() -> None:
    cupy = pytest.importorskip("cupy")
    names = f"{fake_gpu.UFUNCS} {fake_gpu.FUNCTIONS} {fake_gpu.CONSTANTS}".split()
    assert [name for name in names if not hasattr(cupy, name)] == []


def test_training_step_copies_nothing_to_the_host() -> None:
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).to("strict")
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x = mg.randn(16, 4, device="strict")
    labels = mg.randint(0, 3, (16,), device="strict")
    note_value_range(labels, (0, 2))  # as a DataLoader does
    before = host_copies()
    for _ in range(3):
        loss = F.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert host_copies() == before
    labels._value_range = None
    F.cross_entropy(model(x), labels)
    assert 0 < host_copies() - before <= 2


def test_training_is_bit_identical_to_the_cpu() -> None:
    def train(device: str) -> Any:
        mg.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 3)).to(device)
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        x, labels = mg.randn(16, 4, device=device), mg.randint(0, 3, (16,), device=device)
        for _ in range(5):
            loss = F.cross_entropy(model(x), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        return [parameter.tolist() for parameter in model.parameters()]

    assert train("strict") == train("cpu")
