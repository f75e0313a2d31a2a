"""Which numbers are differentiated: each output by itself, and random mixtures, which `backward` gets as dL/dy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import backend
from ._function import draw

np = backend.numpy

SMALL = 512  # elements up to which each is looked at by itself
FEW = 8  # random mixtures of outputs, or directions in an input, beyond that


class Cotangents:
    """The rows g = dL/dy that go into `backward`, and that mix the outputs whose slopes are measured: L = Σ g · y.

    rows     (rows, outputs): a 1 for each output in turn, then random numbers for all; only these, if outputs are many
    alone    how many outputs have a row of their own: all, or none
    counted  the rows that a report counts: those, or if there are none the mixtures
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], rng: Any) -> None:
        self.shapes = shapes
        size = sum(math.prod(shape) for shape in shapes)
        self.alone = size if size <= SMALL else 0
        mixed = draw(rng, (1 if self.alone else FEW, size))
        mixed[:, :1] = -np.abs(mixed[:, :1])  # so that a rule which takes |g| for g is found, of one output too
        self.rows = np.concatenate([np.eye(self.alone, size), mixed])
        self.counted = slice(self.alone or None)

    def name(self, row: int) -> str:
        """What a row speaks of, in words."""
        for i, shape in enumerate(self.shapes if self.alone else ()):
            if row < math.prod(shape):
                return f"output{f' {i}' if len(self.shapes) > 1 else ''}{bracket(row, shape)}"
            row -= math.prod(shape)
        return "outputs, mixed"


def bracket(position: int, shape: tuple[int, ...]) -> str:
    """The index of a position in the flat array, as it is written: [1, 2], or nothing for a 0-d array."""
    return str(list(backend.unravel(position, shape))) if shape else ""
