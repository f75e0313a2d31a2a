"""Generator: a source of random numbers with a seed of its own."""

from __future__ import annotations

from typing import Any

from . import backend
from .backend import random


class Generator:
    """Random numbers that do not depend on the shared generator, for the argument `generator`.

    The numbers are those of `minigrad.manual_seed` with the same seed, not torch's.

    Example:
        >>> import minigrad as mg
        >>> generator = mg.Generator().manual_seed(0)
        >>> len(mg.data.random_split(range(10), [8, 2], generator=generator)[0])
        8
    """

    def __init__(self, device: Any = "cpu") -> None:
        self.device = backend.device(device)
        self.seed()

    def manual_seed(self, seed: int) -> Generator:
        """Start the numbers of this seed; returns self."""
        self.host = random.new_generator(seed)
        self._seed = int(seed)
        return self

    def seed(self) -> int:
        """Start with a seed that the system provides; returns it."""
        import secrets  # here, to keep `import minigrad` quick

        return self.manual_seed(secrets.randbits(63))._seed

    def initial_seed(self) -> int:
        """The seed."""
        return self._seed
