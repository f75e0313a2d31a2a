"""torch.accelerator: the fastest device here, `cuda` or none.

Example:
    >>> import minigrad as mg
    >>> device = mg.accelerator.current_accelerator().type if mg.accelerator.is_available() else "cpu"
"""

from __future__ import annotations

from .backend import cuda, device


def is_available() -> bool:
    """Whether there is a CUDA device."""
    return cuda.is_available()


def current_accelerator(check_available: bool = False) -> device | None:
    """The CUDA device, or None."""
    return device("cuda") if cuda.is_available() else None


def device_count() -> int:
    """1 if there is a CUDA device, as minigrad uses one, else 0."""
    return int(cuda.is_available())


def synchronize() -> None:
    """Wait for the work on the CUDA device."""
    cuda.synchronize()
