"""Slopes by finite differences, each with an estimate of its error, and their comparison with gradients.

**One step.** With D(h) = (f(x + h) - f(x - h)) / 2h the combination (4 D(h) - D(2h)) / 3 differs from f'(x) by a
multiple of h⁴, and by rounding, about ε |f| / h. If it agrees with the gradient to eight digits, both are right: a
coincidence is out of the question. Most slopes need no more.

**A ladder of steps.** Where it does not agree, h is made 8 times smaller, and larger, again and again. As h shrinks the
truncation error falls and the rounding grows. The difference from the next finer step estimates both, without further
assumptions on f (Ridders 1982; Press et al., *Numerical Recipes*, section 5.7). The step with the least is used.

**Rounding inside f.** If f loses digits, as x + 1e10 - 1e10 does, its values are multiples of a large power of two.
That is measured, and counts as rounding. Without such a loss, a function of one value around x has slope 0.

**Kinks.** As h shrinks the slopes from left and right meet where f is smooth, and stay apart at a kink.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .. import backend
from ._cotangents import Cotangents
from ._function import FunctionUnderTest, Host, random_nonzero

np = backend.numpy

EPS = 2.0**-52  # of float64
STEP = 2.0**-11  # of the scale of x, near ε^(1/5), where truncation of order h⁴ and rounding are about equal
FINER, COARSER = 12, 4  # rungs of the ladder below and above the first step, a factor of 8 each
AGREEMENT = 1e-8  # the relative difference at which a slope needs no further step
SAFETY = 4  # how much larger an error may be than the difference of two steps that estimates it
MAX_RELATIVE_ERROR = 1e-3  # a slope with a larger error estimate does not count as checked


class Rung(NamedTuple):
    """What one step h shows of each row."""

    h: float
    slope: Host  # of order h⁴
    left: Host
    right: Host
    size: Host  # the largest |f| around
    least: Host  # the least change of f that is not 0; inf if there is none
    has_plateau: Host  # whether f does not change at all for one of the steps

    @property
    def is_constant(self) -> Host:
        """Whether f has the same value at all steps."""
        return self.least == math.inf


class SlopeComparison:
    """Gradients beside measured slopes, (rows, directions), and the verdict on each: one of the five masks.

    agree        equal within the error, which is small
    zero         zero on both sides
    kink         left and right differ, and the gradient lies in between
    below_noise  equal within the error, which is too large to say more
    wrong        not equal
    """

    def __init__(
        self, gradient: Host, slope: Host, error: Host, left: Host, right: Host, is_kink: Host, rtol: float
    ) -> None:
        self.gradient, self.slope, self.error, self.is_kink, self.rtol = gradient, slope, error, is_kink, rtol
        self.low, self.high = np.fmin(left, right), np.fmax(left, right)
        self.gap = gap = np.abs(gradient - slope)
        size = np.fmax(np.abs(gradient), np.abs(slope))
        allowed = error + rtol * size
        slack = allowed + 1e-6 * np.abs(self.high - self.low)
        self.kink = is_kink & (self.low - slack <= gradient) & (gradient <= self.high + slack)
        near = (gap <= allowed) & ~is_kink
        self.wrong = ~near & ~self.kink
        self.agree = near & (size > 0) & (error <= MAX_RELATIVE_ERROR * size)
        scale = np.max(np.where(np.isfinite(gradient), np.abs(gradient), 0), axis=1, initial=0.0, keepdims=True)
        small = (size <= allowed) & (error <= MAX_RELATIVE_ERROR * scale)
        self.zero = near & ~self.agree & (small | (size == 0))
        self.below_noise = near & ~self.agree & ~self.zero
        self.relative = gap / np.where(size == 0, 1, size)

    def at(self, row: int, column: int) -> Iterator[float]:
        """One slope: gradient, slope, error, and the slopes from left and right, the lower first."""
        parts = (self.gradient, self.slope, self.error, self.low, self.high)
        return (float(part[row, column]) for part in parts)

    @classmethod
    def joined(cls, parts: Sequence[SlopeComparison]) -> SlopeComparison:
        """The directions of several comparisons, one after the other."""
        column = lambda name: np.concatenate([getattr(part, name) for part in parts], axis=1)
        measured = (column("gradient"), column("slope"), column("error"), column("low"), column("high"))
        return cls(*measured, column("is_kink"), parts[0].rtol)


class FiniteDifferences:
    """Measures the slopes of a function under test around its inputs, for each row of cotangents."""

    def __init__(self, function: FunctionUnderTest, cotangents: Cotangents, step: float, rtol: float) -> None:
        self.function, self.cotangents, self.step, self.rtol = function, cotangents, step, rtol
        function.reset()
        y = function.value()
        self.f0 = cotangents.project(y)
        self.rounding = self.spread(np.where(np.isfinite(y), EPS * np.abs(y), 0))
        xs = [checked.x for checked in function.inputs]
        rng, root = backend.random.new_generator(0), math.sqrt(max(1, sum(x.size for x in xs)))
        # A direction that moves all elements
        self.everywhere = {i: random_nonzero(rng, x.shape) * scale_of(x) / root for i, x in enumerate(xs)}
        self.grain = self.spread(self.grain_of_outputs(y))
        # More than this f cannot change between two values by rounding, if no number inside is much larger
        self.size = np.fmax(np.abs(self.f0), max([1.0, *(np.abs(x).max(initial=0) for x in xs)]))
        self.step_height = np.where(self.grain == 0, 64 * EPS * self.size, math.inf)
        self.step_height[cotangents.dense :] = math.inf  # of mixtures the smaller outputs may be lost in the larger

    def line(self, direction: dict[int, Host], t: float) -> Host:
        """Each row's value at x + t · direction."""
        return self.cotangents.project(self.function.moved(direction, t))

    def spread(self, error: Host) -> Host:
        """The error of each row, given that of each output: √Σ (g · error)²."""
        largest = max(error.max(initial=0), 1e-300)  # against overflow and underflow of the squares
        mixed = largest * np.sqrt(self.cotangents.mixed**2 @ (error / largest) ** 2)
        return np.concatenate([error[: self.cotangents.dense], mixed])

    def grain_of_outputs(self, y: Host) -> Host:
        """The power of two that the values of each output are multiples of, if it exceeds their rounding; else 0."""
        steps = STEP * np.array([1.0, -1.3, 0.37, -0.61, 0.73])
        differences = np.stack([self.function.moved(self.everywhere, t) - y for t in steps])
        grain = np.min(lowest_bit(differences), axis=0, where=differences != 0, initial=math.inf)
        measured = np.isfinite(differences).all(axis=0) & np.isfinite(grain)
        return np.where(measured & (grain > 64 * EPS * np.abs(y)), grain, 0)

    def compare(
        self, direction: dict[int, Host], scale: float, gradient: Host, gradient_error: Host
    ) -> SlopeComparison:
        """The slopes of all rows along a direction of size `scale`, beside the gradients along it."""
        step = 2.0 ** round(math.log2(self.step * scale))  # a power of two: x + h is then exact
        rungs = {0: self.rung(direction, step)}
        slope, error = rungs[0].slope.copy(), np.full_like(gradient, math.inf)
        first = rungs[0]
        size = np.fmax(np.abs(slope), np.abs(gradient))
        smooth = np.abs(first.right - first.left) <= 1e-3 * np.fmax(np.abs(first.left), np.abs(first.right))
        settled = (np.abs(slope - gradient) <= AGREEMENT * size) & smooth & size.any()  # all zero: is h too small?
        error = np.where(settled, np.fmax(0.1 * AGREEMENT * size, (size == 0) * self.rounding / step), error)
        is_kink = np.zeros_like(settled)
        left, right = first.left.copy(), first.right.copy()
        if not settled.all():
            for k in (*range(-1, -FINER - 1, -1), *range(1, COARSER + 1)):
                rungs[k] = self.rung(direction, step * 8.0**k)
            self.choose(rungs, ~settled, slope, error, left, right, is_kink)
            for k, rung in rungs.items():
                coarser = rungs[k + 1].slope if k < 0 else gradient
                change = np.fmax(np.abs(gradient), np.abs(coarser)) * rung.h
                is_step_function = rung.is_constant & (change > self.step_height)
                slope[is_step_function] = error[is_step_function] = 0
                is_kink[is_step_function] = False
                if is_step_function.any():  # not measured in mixtures
                    error[self.cotangents.dense :] = math.inf
        error = error + 4 * np.where(np.isfinite(gradient_error), gradient_error, 0)
        measured = (gradient[:, None], slope[:, None], error[:, None], left[:, None], right[:, None])
        return SlopeComparison(*measured, is_kink[:, None], self.rtol)

    def rung(self, direction: dict[int, Host], h: float) -> Rung:
        """The slopes with the steps h and 2h."""
        a, b, d, e = (self.line(direction, t) for t in (-2 * h, -h, h, 2 * h))
        c = self.f0
        slope = (d - b) / (1.5 * h) - (e - a) / (12 * h)
        right, left = (d - c) / (0.5 * h) - (e - c) / (2 * h), (c - b) / (0.5 * h) - (c - a) / (2 * h)
        changes = np.abs([a - c, b - c, d - c, e - c])
        least = np.min(changes, axis=0, where=changes > 0, initial=math.inf)
        return Rung(h, slope, left, right, np.max(np.abs([a, b, c, d, e]), axis=0), least, changes.min(axis=0) == 0)

    def choose(self, rungs: dict[int, Rung], rows: Host, slope: Host, error: Host, *sides: Host) -> None:
        """Of the rungs of a ladder the best for each of `rows`: enter its slope, error, left, right, is_kink."""
        left, right, is_kink = sides
        ladder = [rungs[k] for k in sorted(rungs)]  # the finest first
        jump_error = np.full_like(error, math.inf)
        fine = [rung for k, rung in rungs.items() if k <= 0]
        quantum = np.min([rung.least for rung in fine], axis=0)
        quantum = np.where(quantum == math.inf, EPS * self.size, quantum)
        quantum[~np.any([rung.has_plateau for rung in fine], axis=0)] = 0
        for finer, coarser in itertools.pairwise(ladder):
            rounding = 8 * np.max([self.rounding, EPS * coarser.size, quantum], axis=0)
            estimate = SAFETY * np.abs(coarser.slope - finer.slope) + rounding / coarser.h
            better = rows & (estimate < error)
            slope[better], error[better] = coarser.slope[better], estimate[better]
            # The jump between left and right: its error, in the same way
            jump, finer_jump = coarser.right - coarser.left, finer.right - finer.left
            estimate = np.abs(jump - finer_jump) + 4 * rounding / coarser.h
            better = rows & (estimate < jump_error)
            jump_error[better] = estimate[better]
            is_kink[better] = (np.abs(jump) > 4 * estimate)[better]
            left[better], right[better] = coarser.left[better], coarser.right[better]

    def convergence(self, slope: float) -> Iterator[tuple[float, float, float | None]]:
        """(h, error, order): how the error of D(h), in the last row, shrinks as h is halved."""
        before = None
        for h in (2.0**-i for i in range(5, 9)):
            low, high = self.line(self.everywhere, -h)[-1], self.line(self.everywhere, h)[-1]
            error = abs((high - low) / (2 * h) - slope)
            if not math.isfinite(error):
                return
            exact = error <= 40 * max(self.rounding[-1], self.grain[-1]) / h
            yield h, error, math.inf if exact else None if before is None else math.log2(before / error)
            before = None if exact else error


def scale_of(x: Host) -> Host:
    """The scale of each element: |x|, and for zeros the median of the others, or 1."""
    size = np.abs(x)
    others = size[(size > 0) & np.isfinite(size)]
    return np.where(size > 0, size, np.median(others) if others.size else 1.0)


def lowest_bit(values: Host) -> Host:
    """The largest power of two that each number is a multiple of."""
    mantissa, exponent = np.frexp(np.where(np.isfinite(values), values, 0))
    whole = np.abs(mantissa * 2.0**53).astype(np.int64)
    return np.ldexp((whole & -whole).astype(float), exponent - 53)
