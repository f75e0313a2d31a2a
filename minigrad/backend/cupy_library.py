"""CuPy as the library of a CUDA device, imported at its first use."""

from __future__ import annotations

import importlib
from types import ModuleType, SimpleNamespace

from .devices import DeviceError, Library, device
from .numpy_library import missing_functions


def load() -> Library:
    """The library of `device("cuda")`. Raises DeviceError if CuPy is not installed or finds no CUDA device."""
    install = "pip install cupy-cuda12x (CUDA 12) or cupy-cuda13x (CUDA 13), or use the CPU (--backend numpy)"
    try:
        cupy: ModuleType = importlib.import_module("cupy")
    except ImportError as error:
        raise DeviceError(f"device 'cuda' needs CuPy, which is not installed: {install}") from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(
            f"CuPy {cupy.__version__} finds no CUDA device ({error}): use the CPU (--backend numpy)"
        ) from None
    if count == 0:
        raise DeviceError(f"CuPy {cupy.__version__} finds no CUDA device: use the CPU (--backend numpy)")
    synchronize = cupy.cuda.runtime.deviceSynchronize
    xp = SimpleNamespace(**{**vars(cupy), **missing_functions(cupy)})
    return Library(xp, cupy.ndarray, device("cuda"), cupy.asarray, cupy.asnumpy, synchronize)
