"""Slopes, measured by central differences with their uncertainty, and compared with those that `backward` computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from .. import backend
from ._function import Host, Subject, draw

np = backend.numpy

EPS = 2.0**-52  # of float64
STEP = EPS ** (1 / 3)
LADDER = (1 / 8, 1 / 64, 8, 64)  # other steps, tried in turn where a kink is near, f bends strongly, or f is noisy
SHARP = 1e-3  # a slope is known if its uncertainty is at most this part of it


class Slopes:
    """Both sides, (rows, directions), and what they say: each slope is one of agree, zero, kink, hidden or wrong.

    `values` are f at x - 2h, x - h, x, x + h, x + 2h, the first axis. `noise` is the rounding of f, and `scale` the
    largest analytic slope, of each row: a slope that is far smaller than that counts as zero.
    """

    def __init__(self, analytic: Host, values: Host, h: Host, noise: Host, scale: Host, rtol: float) -> None:
        self.analytic, self.values, self.h = analytic, values, h
        a, b, c, d, e = values
        self.numeric, wide = (d - b) / (2 * h), (e - a) / (4 * h)
        rounding = 8 * noise / h
        error = rounding + np.abs(wide - self.numeric) / 3
        self.error = np.where(np.isfinite(error), error, np.inf)
        # As h is halved, the jump from left to right halves where f is smooth, stays at a kink, doubles where f jumps.
        left, right = (c - b) / h, (d - c) / h
        jump, wide_jump = right - left, ((e - c) - (c - a)) / (2 * h)
        stays = (0.75 * np.abs(wide_jump) < np.abs(jump)) & (np.abs(jump) < 1.4 * np.abs(wide_jump))
        self.bent = stays & (np.abs(jump) > 5 * rounding)
        self.low, self.high = np.minimum(left, right), np.maximum(left, right)
        # The verdict
        self.gap = gap = np.abs(analytic - self.numeric)
        size = np.fmax(np.abs(analytic), np.abs(self.numeric))
        allowed = rtol * size + self.error
        slack = allowed + np.abs(jump - wide_jump)
        self.kink = self.bent & (self.low - slack <= analytic) & (analytic <= self.high + slack)
        near = (gap <= allowed) & ~self.kink
        self.wrong = ~near & ~self.kink
        self.agree = near & (size > 0) & (self.error <= SHARP * size)
        small = (size <= self.error) & (self.error <= SHARP * scale)
        self.zero = near & ~self.agree & (small | (size == 0))
        self.hidden = near & ~self.agree & ~self.zero
        self.relative = gap / np.where(size == 0, 1, size)
        self.settled = self.kink | self.zero | (self.agree & (self.error <= SHARP**2 * size))

    def at(self, row: int, column: int) -> Iterator[float]:
        """One slope: analytic, numeric, its uncertainty, and from the left and the right, the lower first."""
        parts = (self.analytic, self.numeric, self.error, self.low, self.high)
        return (float(part[row, column]) for part in parts)


class Ruler:
    """Measures slopes of a subject around its point x; each of `rows` says of which mixture of its outputs."""

    def __init__(self, subject: Subject, rows: Host, step: float, rtol: float) -> None:
        self.subject, self.rows, self.step, self.rtol = subject, rows, step, rtol
        self.xs = [slot.x for slot in subject.slots]
        rng, root = backend.random.new_generator(0), math.sqrt(max(1, sum(x.size for x in self.xs)))
        self.everywhere = [draw(rng, x.shape) * np.maximum(1, np.abs(x)) / root for x in self.xs]  # moves all elements
        self.noise = self.measure_noise()

    def along(self, directions: Sequence[Host], steps: Sequence[float]) -> Host:
        """Each row's value at x + step · direction: (steps, rows)."""
        points = ([x + step * d for x, d in zip(self.xs, directions)] for step in steps)
        return np.stack([self.subject.values(xs) for xs in points]) @ self.rows.T

    def measure_noise(self) -> Host:
        """The rounding error of each row's value.

        Points very near show it beside a kink, points a step apart where values move in coarser leaps than x does; of
        those, the quieter side, as a kink may lie in the other.
        """

        def noise(points: range, step: float) -> Host:  # of one value, from fourth differences: those are √70 times it
            fourth = np.diff(self.along(self.everywhere, [step * i for i in points]), 4, axis=0)
            return np.sqrt((fourth**2).mean(axis=0) / 70)

        apart = np.fmin(noise(range(-6, 1), self.step), noise(range(7), self.step))
        least = EPS * np.sqrt(self.rows**2 @ self.subject.values(self.xs) ** 2)
        return np.fmax(np.fmax(noise(range(-4, 5), 1e-10), apart), least)

    def compare(self, t: int, directions: Sequence[Any], gradient: Host) -> Slopes:
        """Both sides along each direction of input t: an element (its position in the flat array), or an array.

        `gradient` has the analytic slope of each row along each element.
        """
        scale = np.max(np.abs(gradient), axis=1, initial=0.0, keepdims=True)
        look = partial(Slopes, noise=self.noise[:, None], scale=scale, rtol=self.rtol)
        analytic, h = np.empty((2, len(gradient), len(directions)))
        values = np.empty((5, *h.shape))
        for i, d in enumerate(directions):
            analytic[:, i] = gradient[:, d] if isinstance(d, int) else gradient @ d
            best = self.best(partial(look, analytic[:, i : i + 1]), t, d)
            values[..., i], h[:, i] = best.values[..., 0], best.h[:, 0]
        return look(analytic, values, h)

    def best(self, look: Callable[..., Slopes], t: int, direction: Any) -> Slopes:
        """The slopes along one direction, each at the first step of the ladder that settles it."""
        d = [np.zeros_like(x) for x in self.xs]
        h = self.step
        if not isinstance(direction, int):
            d[t].flat[:] = direction
        else:
            d[t].flat[direction] = 1.0
            h *= max(1.0, abs(float(self.xs[t].flat[direction])))

        def measured(step: float) -> tuple[Host, Host]:
            values = self.along(d, [step * i for i in range(-2, 3)])[..., None]
            return values, np.full(values[0].shape, step)

        best = look(*measured(h))
        for rung in LADDER:
            if best.settled.all():
                break
            found = look(*measured(rung * h))
            better = ~best.settled & (found.settled | (found.error < best.error))
            best = look(np.where(better, found.values, best.values), np.where(better, found.h, best.h))
        return best

    def convergence(self, slope: float) -> Iterator[tuple[float, float, float | None]]:
        """(h, error, order): how the error of central differences, in the last row, shrinks as h is halved."""
        before = None
        for h in (2.0**-i for i in range(5, 9)):
            low, high = self.along(self.everywhere, [-h, h])[:, -1]
            error = abs((high - low) / (2 * h) - slope)
            if not math.isfinite(error):
                return
            exact = error <= 10 * self.noise[-1] / h
            yield h, error, math.inf if exact else math.log2(before / error) if before else None
            before = None if exact else error
