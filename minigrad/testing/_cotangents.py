"""The cotangents g = dL/dy that backward gets: each output by itself, and random mixtures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import backend
from ._function import Host, random_nonzero

np = backend.numpy

DENSE_LIMIT = 512  # elements up to which each is checked by itself
N_RANDOM = 8  # random mixtures of outputs, or directions in an input, beyond that


class Cotangents:
    """The rows g = dL/dy for which gradients are computed, and slopes of L = Σ g · y are measured.

    rows     (rows, outputs): a 1 for each output in turn, then a random mixture; of many outputs only mixtures
    dense    how many outputs have a row of their own: all, or none
    counted  the rows that a report counts: those, or if there are none the mixtures
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], rng: Any) -> None:
        self.shapes = shapes
        size = sum(math.prod(shape) for shape in shapes)
        self.dense = size if size <= DENSE_LIMIT else 0
        mixed = random_nonzero(rng, (1 if self.dense else N_RANDOM, size))
        mixed[:, :1] = -np.abs(mixed[:, :1])  # a VJP that uses |g| is then found for a single output, too
        self.mixed = mixed
        self.rows = np.concatenate([np.eye(self.dense, size), mixed])
        self.counted = slice(self.dense or None)

    def project(self, y: Host) -> Host:
        """Σ g · y for each row g."""
        return np.concatenate([y[: self.dense], self.mixed @ y])

    def name(self, row: int) -> str:
        """The output that a row stands for."""
        for i, shape in enumerate(self.shapes if self.dense else ()):
            if row < math.prod(shape):
                return f"output{f' {i}' if len(self.shapes) > 1 else ''}{bracket(row, shape)}"
            row -= math.prod(shape)
        return "outputs, mixed"


def bracket(position: int, shape: tuple[int, ...]) -> str:
    """The index of a position in the flattened array as it is written: [1, 2], or nothing for a 0-d array."""
    return str(list(backend.unravel(position, shape))) if shape else ""
