"""Devices: names, CuPy loaded at its first use, moves between devices."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

import minigrad as mg
from minigrad import backend


def test_device_by_name_and_index():
    cuda = mg.device("cuda")
    assert (cuda.type, cuda.index, str(cuda)) == ("cuda", 0, "cuda:0")
    assert cuda == mg.device("cuda:0") == mg.device("cuda", 0) == mg.device(cuda) != mg.device("cpu")
    assert len({cuda, mg.device("cuda:0"), mg.device("cpu")}) == 2
    assert repr(cuda) == "device(type='cuda', index=0)"
    assert mg.device("cpu").index is None
    assert repr(mg.device("cpu")) == "device(type='cpu')"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cuda:1", "minigrad uses one device of a kind, cuda:0, got cuda:1"),
        ("cpu:1", "minigrad uses one device of a kind"),
        ("cuda:x", "expected 'cpu', 'cuda' or 'cuda:0', got 'cuda:x'"),
        ("tpu", "expected one of 'cpu', 'cuda', .*, got 'tpu'"),
    ],
)
def test_wrong_device_raises(name, message):
    with pytest.raises(ValueError, match=f"device: {message}"):
        mg.device(name)


class CUDARuntimeError(RuntimeError):
    """CuPy's error if there is no driver."""


def no_driver():
    raise CUDARuntimeError("no driver")


@pytest.mark.parametrize(
    ("count", "available"),
    [(lambda: 0, False), (lambda: 1, True), (lambda: 2, True), (no_driver, False), (None, False)],
    ids=["no device", "one device", "two devices", "no driver", "no CuPy"],
)
def test_cuda_is_available_if_cupy_finds_a_device(count, available, monkeypatch):
    runtime = SimpleNamespace(
        getDeviceCount=count, CUDARuntimeError=CUDARuntimeError, deviceSynchronize=lambda: "synchronized"
    )
    cupy = SimpleNamespace(
        __version__="0", cuda=SimpleNamespace(runtime=runtime), ndarray=list, asarray=list, asnumpy=np.asarray
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy if count else None)
    monkeypatch.setattr(backend.devices, "_libraries", {"cpu": backend.library("cpu")})
    monkeypatch.setattr(backend.devices, "LIBRARY_OF_TYPE", dict(backend.LIBRARY_OF_TYPE))
    assert mg.cuda.is_available() is available
    if available:
        assert mg.cuda.synchronize() == "synchronized"
    else:
        message = "finds no CUDA device" if count else "CuPy, which is not installed"
        for call in (lambda: mg.zeros(2, device="cuda"), lambda: mg.ones(2).cuda()):
            with pytest.raises(backend.DeviceError, match=message):
                call()


def test_moves_between_devices_are_recorded(device):
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    for y in (x.to(device), x.to(mg.device(device)), x.to(mg.ones(1, device=device)), x.to(device=device)):
        assert y.device == mg.device(device)
        x.grad = None
        (y * 3).sum().backward()
        assert x.grad.device == mg.device("cpu")
        assert x.grad.tolist() == [3.0, 3.0]
    assert y.cpu().device == mg.device("cpu")
    assert y.to(device) is y


def test_second_derivatives_cross_devices(device):
    x = mg.tensor([2.0], requires_grad=True)
    (first,) = mg.grad((x.to(device) ** 3).sum(), x, create_graph=True)
    (second,) = mg.grad(first.sum(), x)
    assert (first.tolist(), second.tolist()) == ([12.0], [12.0])
