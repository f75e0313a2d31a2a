"""`gradcheck` compares the gradient that `backward` computes with slopes measured by moving the inputs a little.

**Central differences.** (f(x + h) - f(x - h)) / 2h differs from f'(x) by h² f'''/6, for the even terms of the Taylor series
cancel, and by rounding, about ε |f| / h. The first shrinks with h and the second grows; their sum is least near
h = ε^(1/3) max(1, |x|), 6e-6 in float64 (Nocedal and Wright, *Numerical Optimization*, section 8.1). What is left of both is
measured here, so that no tolerance has to be guessed: the first by comparing with the step 2h (Richardson's estimate),
the rounding from the fourth differences of f at nearly equal points, where a smooth function shows nothing but its noise
(Moré and Wild, *Estimating Computational Noise*, SIAM J. Sci. Comput. 33, 2011). A slope that the noise hides counts as
not checked, and a check that saw no slope at all fails: it would have passed any rule.

**A random cotangent.** `backward` computes gᵀJ: the Jacobian J seen through one g = dL/dy. With g = 1, which `f(x).sum()`
means, softmax has the gradient 0, as its rows always sum to 1, and a rule that returns zeros passes. So g is random here:
one number for each output in turn, which spells out the whole Jacobian, and all outputs at once. Beyond `SMALL` elements
a few random mixtures of outputs, or directions in an input, take the place of single elements.

**Kinks.** Where the slopes from the left and from the right differ, as those of |x| at 0, each value between them is a
subgradient: such places are reported with their interval, and pass if the analytic value lies within.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from . import backend
from .grad_mode import enable_grad
from .nn.module import Module
from .tensor import Tensor, grad

np = backend.numpy
Host = Any  # a float64 array of NumPy

EPS = float(np.finfo(np.float64).eps)
STEP = EPS ** (1 / 3)
LADDER = (1, 1 / 8, 1 / 64, 8, 64)  # steps tried in turn, where a kink is near, f bends strongly, or f is noisy
SMALL = 512  # elements up to which each is moved by itself
FEW = 8  # random directions, or mixtures of outputs, beyond that
SHARP = 1e-3  # a slope is known if its uncertainty is at most this part of it


class GradcheckError(AssertionError):
    """A check that failed; the message is the report, also to be had as `.report`."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report


@dataclass
class Fault:
    """A gradient that is wrong: where it is worst, by how much, and which slip it looks like."""

    place: str
    analytic: float
    numeric: float
    uncertainty: float
    wrong: int
    of: int
    slip: str
    interval: tuple[float, float] | None = None

    @property
    def absolute(self) -> float:
        """|analytic - numeric|"""
        return abs(self.analytic - self.numeric)

    @property
    def relative(self) -> float:
        """The absolute error as part of the larger of the two."""
        return self.absolute / (max(abs(self.analytic), abs(self.numeric)) or 1.0)

    def __str__(self) -> str:
        between = "" if self.interval is None else "\n    a kink: slopes from {:.6g} to {:.6g}".format(*self.interval)
        return (
            f"  {self.wrong} of {self.of} slopes are wrong, the worst {self.place}\n"
            f"    analytic {self.analytic:.10g}, numeric {self.numeric:.10g} ± {self.uncertainty:.0e}, "
            f"absolute error {self.absolute:.2e}, relative error {self.relative:.2e}{between}\n"
            f"    looks like: {self.slip}"
        )


class Kink(NamedTuple):
    """A place where the slopes from the left and the right differ and the analytic value lies between them."""

    place: str
    analytic: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"  kink {self.place}: analytic {self.analytic:.6g} lies in [{self.low:.6g}, {self.high:.6g}]"


class Line(NamedTuple):
    """What was seen of one input: slopes that were compared, were zero on both sides, stood at a kink, lay in the noise."""

    name: str
    shape: tuple[int, ...]
    compared: int
    zero: int
    kinks: int
    hidden: int
    worst: float


@dataclass
class Report:
    """What a check saw. True if it passed; as text, the report."""

    name: str
    order: int = 1
    lines: list[Line] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    kinks: list[Kink] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    convergence: list[tuple[float, float, float | None]] = field(default_factory=list)  # step, error, order
    second: Report | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong and something was seen, in each order that was checked."""
        return not self.faults and not self.refusals and (self.second is None or self.second.passed)

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        what = "gradient" if self.order == 1 else "second derivatives"
        own = not self.faults and not self.refusals
        text = [f"gradcheck of {self.name}, {what}: {'passed' if own else 'FAILED'}"]
        text += [f"  {refusal}" for refusal in self.refusals]
        text += [str(fault) for fault in self.faults]
        if self.lines:
            width = max(len(line.name) for line in self.lines)
            wide = max(5, *(len(str(line.shape)) for line in self.lines))
            text.append(f"  {'':{width}}  {'shape':{wide}}  compared   zero  kinks  hidden  worst error")
            text += [
                f"  {n.name:{width}}  {n.shape!s:{wide}}  {n.compared:8}{n.zero:7}{n.kinks:7}{n.hidden:8}  "
                + (f"{n.worst:11.1e}" if n.compared else f"{'-':>11}")
                for n in self.lines
            ]
        text += [str(kink) for kink in self.kinks[:3]]
        text += [f"  ... and {len(self.kinks) - 3} kinks more"] * (len(self.kinks) > 3)
        if self.convergence:
            text.append("  central differences along one direction: halving h divides the error by 4, order 2")
            text += [
                f"    h {h:.4f}   error {error:.1e}" + ("" if order is None else f"   order {order:.2f}")
                for h, error, order in self.convergence
            ]
        if self.second is not None:
            text.append(str(self.second))
        return "\n".join(text)


@dataclass
class Slot:
    """One input that is checked, or a parameter of the Module: its place in the call, and its value in float64."""

    name: str
    place: Any
    x: Host
    device: backend.device

    def tensor(self, x: Host) -> Tensor:
        """x as a leaf, in memory of its own, on the device of the original."""
        return Tensor(backend.library(self.device).from_host(x.copy()), True)


def host(tensor: Tensor) -> Host:
    """The elements on the CPU."""
    return backend.OWNERS[type(tensor.array)].to_host(tensor.array)


class Subject:
    """The function under check, called with float64 copies in the place of its floating inputs and parameters."""

    def __init__(self, function: Callable[..., Any], inputs: Sequence[Any], module: Module | None) -> None:
        self.function = function
        self.args = list(inputs)
        floating = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.dtype.kind == "f"]
        checked = [i for i in floating if inputs[i].requires_grad] or floating
        for i in floating:
            if i not in checked:
                self.args[i] = inputs[i].detach().double()
        self.slots = [Slot(f"input {i}", i, doubled(inputs[i]), inputs[i].device) for i in checked]
        if module is not None:
            for name, parameter in module.named_parameters():
                if parameter.requires_grad:
                    self.slots.append(Slot(f"parameter {name}", parameter, doubled(parameter), parameter.device))
        if not self.slots:
            given = ", ".join(type(x).__name__ for x in inputs) or "none"
            raise TypeError(f"gradcheck: expected at least one Tensor of float32 or float64 as input, got {given}")

    def __call__(self, xs: Sequence[Host]) -> tuple[list[Tensor], list[Tensor]]:
        """The leaves that were made of xs, and the outputs that are floating."""
        args, leaves = list(self.args), []
        for slot, x in zip(self.slots, xs):
            leaf = slot.tensor(x)
            if isinstance(slot.place, Tensor):
                slot.place.array = leaf.array
                leaf = slot.place
            else:
                args[slot.place] = leaf
            leaves.append(leaf)
        with enable_grad():
            result = self.function(*args)
        outputs = [result] if isinstance(result, Tensor) else result
        if not isinstance(outputs, (tuple, list)) or not all(isinstance(y, Tensor) for y in outputs):
            raise TypeError(f"gradcheck: expected a function that returns Tensors, got {type(result).__name__}")
        outputs = [y for y in outputs if y.dtype.kind == "f"]
        if not outputs:
            raise TypeError("gradcheck: expected an output of float32 or float64, got none")
        return leaves, outputs

    def values(self, xs: Sequence[Host]) -> Host:
        """All outputs as one row."""
        return np.concatenate([host(y).astype(np.float64).ravel() for y in self(xs)[1]])

    def gradients(self, xs: Sequence[Host], cotangents: Host) -> list[list[Host]]:
        """For each cotangent (a row as long as all outputs) dL/dx of each slot, L = Σ cotangent · output."""
        leaves, outputs = self(xs)
        shapes = [y.shape for y in outputs]
        return [self.pull(leaves, outputs, pieces(row, shapes)) for row in cotangents]

    def pull(self, leaves: list[Tensor], outputs: list[Tensor], cotangents: list[Host]) -> list[Host]:
        reached = [i for i, y in enumerate(outputs) if y.requires_grad]
        if not reached:
            return [np.zeros(leaf.shape) for leaf in leaves]
        gs = [Slot("", None, g, outputs[i].device) for i, g in enumerate(cotangents)]
        gradients = [Tensor(gs[i].tensor(gs[i].x).to(outputs[i].dtype).array) for i in reached]
        found = grad([outputs[i] for i in reached], leaves, gradients, retain_graph=True, allow_unused=True)
        return [np.zeros(leaf.shape) if g is None else host(g).copy() for leaf, g in zip(leaves, found)]


class Gradient(Subject):
    """The gradient of a Subject, as a function of its inputs and of the cotangents of its outputs."""

    def __init__(self, first: Subject, cotangents: list[Host], device: backend.device) -> None:
        self.first = first
        self.slots = [*first.slots, *(Slot(f"cotangent {i}", None, g, device) for i, g in enumerate(cotangents))]

    def __call__(self, xs: Sequence[Host]) -> tuple[list[Tensor], list[Tensor]]:
        n = len(self.first.slots)
        leaves, outputs = self.first(xs[:n])
        cotangents = [slot.tensor(x) for slot, x in zip(self.slots[n:], xs[n:])]
        pairs = [(y, g) for y, g in zip(outputs, cotangents) if y.requires_grad]
        with enable_grad():
            found = grad([y for y, _ in pairs], leaves, [g for _, g in pairs], create_graph=True, allow_unused=True)
        return [*leaves, *cotangents], [g for g in found if g is not None]


def doubled(tensor: Tensor) -> Host:
    return host(tensor).astype(np.float64)


def pieces(row: Host, shapes: Sequence[tuple[int, ...]]) -> list[Host]:
    """A row cut into arrays of these shapes."""
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(np.split(row, ends[:-1]), shapes)]


@contextmanager
def untouched(module: Module | None) -> Iterator[None]:
    """Parameters in float64 inside; afterwards they, and minigrad's random numbers, are as they were, bit for bit."""
    parameters = [] if module is None else list(module.parameters())
    saved = [dict(vars(parameter)) for parameter in parameters]
    generator = backend.GENERATOR.host
    state = generator.bit_generator.state
    try:
        for parameter in parameters:
            parameter.array = parameter.array.astype(np.float64)
            parameter._grad = None
        yield
    finally:
        for parameter, attributes in zip(parameters, saved):
            vars(parameter).clear()
            vars(parameter).update(attributes)
        backend.GENERATOR.host = generator
        generator.bit_generator.state = state


def gradcheck(
    function: Callable[..., Any],
    inputs: Any = (),
    *,
    module: Module | None = None,
    order: int = 1,
    eps: float | None = None,
    rtol: float = 1e-8,
    seed: int = 0,
    allow_zero: bool = False,
    raise_exception: bool = True,
) -> Report:
    """Check the gradients of `function(*inputs)`, one Tensor or several, against central differences in float64.

        assert gradcheck(F.cross_entropy, (logits, labels))
        assert gradcheck(model, x)                                      # its parameters too
        assert gradcheck(lambda x: F.mse_loss(model(x), t), x, module=model)
        print(gradcheck(F.relu, x, raise_exception=False))              # the report, whatever it says

    Of the inputs those that require a gradient are checked, or all that are floating if none does; of a Module (the
    function itself, or `module`) the parameters that require one. All run as float64 copies: inputs, model and random
    numbers stay as they are, bit for bit. `order=2` checks the second derivatives, those of `grad(..., create_graph=True)`,
    too. `eps` is the step relative to max(1, |x|); `rtol` the relative error allowed beside the measured uncertainty;
    `allow_zero` lets an input pass whose gradient is zero on both sides. Random numbers come from `seed` alone.

    Returns a Report, true if the check passed. Raises GradcheckError with the report as its message if not, unless
    `raise_exception=False`; TypeError where there is nothing to check.
    """
    if order not in (1, 2):
        raise ValueError(f"gradcheck: expected order 1 or 2, got {order!r}")
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    module = function if module is None and isinstance(function, Module) else module
    name = type(function).__name__ if isinstance(function, Module) else getattr(function, "__name__", str(function))
    rng = backend.generator(seed)
    with untouched(module):
        subject = Subject(function, inputs, module)
        report = Check(subject, rng, eps or STEP, rtol).run(Report(name), allow_zero)
        if order == 2 and report.passed:
            _, outputs = subject([slot.x for slot in subject.slots])
            cotangents = [dense(rng, y.shape) for y in outputs]
            gradient = Gradient(subject, cotangents, outputs[0].device)
            # The second derivative of what is linear is zero, rightly; its cotangents are still checked.
            report.second = Check(gradient, rng, eps or STEP, rtol).run(Report(name, order=2), True)
    if raise_exception and not report:
        raise GradcheckError(report)
    return report


def dense(rng: Any, shape: tuple[int, ...]) -> Host:
    """Random numbers from ±[0.5, 1.5]: none is small."""
    return rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)


@dataclass
class Slopes:
    """Slopes of L = cotangent · y, one row per cotangent, one column per direction."""

    numeric: Host
    error: Host  # the uncertainty of numeric
    left: Host
    right: Host
    margin: Host  # the uncertainty of left and right
    bent: Host  # where left and right differ for all steps: a kink


def measure(values: Host, h: float, noise: Host) -> Slopes:
    """Slopes from L at x - 2h, x - h, x, x + h, x + 2h, the last axis of `values`."""
    a, b, c, d, e = np.moveaxis(values, -1, 0)
    numeric, wide = (d - b) / (2 * h), (e - a) / (4 * h)
    rounding = 4 * noise / h
    left, right = (c - b) / h, (d - c) / h
    jump, jump_wide = right - left, ((e - c) - (c - a)) / (2 * h)
    # The difference of a smooth function's one-sided slopes halves with h, a kink's stays.
    bent = (np.abs(jump) > 10 * rounding) & (0.75 * np.abs(jump_wide) < np.abs(jump))
    bent &= np.abs(jump) < 1.4 * np.abs(jump_wide)
    return Slopes(numeric, rounding + np.abs(wide - numeric) / 3, left, right, np.abs(jump - jump_wide), bent)


class Check:
    """One check: the cotangents, the directions, the slopes on both sides, and the verdict on each input."""

    def __init__(self, subject: Subject, rng: Any, step: float, rtol: float) -> None:
        self.subject, self.rng, self.step, self.rtol = subject, rng, step, rtol
        self.slots = subject.slots
        self.xs = [slot.x for slot in self.slots]

    def run(self, report: Report, allow_zero: bool) -> Report:
        """Fill in the report."""
        _, outputs = self.subject(self.xs)
        self.shapes = [y.shape for y in outputs]
        self.y = self.subject.values(self.xs)
        if not np.isfinite(self.y).all():
            report.refusals.append("the function is not finite at this input: nothing can be compared there")
            return report
        m = self.y.size
        self.each_output = m <= SMALL
        mixtures = dense(self.rng, (1 if self.each_output else FEW, m))
        self.cotangents = np.concatenate([np.diag(dense(self.rng, (m,))), mixtures]) if self.each_output else mixtures
        try:
            gradients = self.subject.gradients(self.xs, self.cotangents)
            again = self.subject.gradients(self.xs, self.cotangents[-1:])
        except RuntimeError as error:
            if "its rule for argument" not in str(error):
                raise
            report.refusals.append(f"backward stopped: {error}")
            report.refusals.append("looks like: an unsummed axis, or a transpose: a gradient has its input's shape and dtype")
            return report
        if self.irreproducible(gradients[-1], again[0]):
            report.refusals.append(
                "the function is not deterministic: two calls with the same input differ. Dropout? Write model.eval()"
            )
            return report
        if self.changes_inputs():
            report.refusals.append("the function changes its inputs in place, so x ± h is not what it sees")
            return report
        self.noise = self.measure_noise()
        every = sum(x.size for x in self.xs) <= SMALL
        for t, slot in enumerate(self.slots):
            analytic = np.stack([g[t].ravel() for g in gradients])
            each_element = every or slot.x.size <= FEW
            directions = np.eye(slot.x.size) if each_element else self.rng.standard_normal((FEW, slot.x.size))
            self.judge(report, t, analytic, directions, each_element)
        if not report.faults and not any(line.compared or line.kinks for line in report.lines):
            report.refusals.append(
                "a vacuous check: both sides are zero, or lie under the noise of the function "
                f"({np.max(self.noise, initial=0.0):.0e}), so any rule would pass; choose another input or output"
            )
        elif not allow_zero:
            report.refusals += [
                f"a vacuous check of {n.name}: both sides are zero or lie in the noise; choose another input, or allow_zero=True"
                for n, slot in zip(report.lines, self.slots)
                if not (n.compared or n.kinks) and not any(fault.place.startswith(f"at {n.name}") for fault in report.faults)
            ]
        report.convergence = self.convergence(gradients[-1])
        return report

    def irreproducible(self, gradients: list[Host], again: list[Host]) -> bool:
        """Whether a second call gives other bits, in the value or the gradient."""
        second = self.subject.values(self.xs)
        return second.tobytes() != self.y.tobytes() or any(
            a.tobytes() != b.tobytes() for a, b in zip(gradients, again)
        )

    def changes_inputs(self) -> bool:
        """Whether the function writes to what it is given."""
        leaves, _ = self.subject(self.xs)
        return any(host(leaf).tobytes() != x.tobytes() for leaf, x in zip(leaves, self.xs))

    def along(self, directions: list[Host], steps: Sequence[float]) -> Host:
        """L of each cotangent at x + step · direction, for each step: (cotangents, steps)."""
        rows = [self.subject.values([x + s * d for x, d in zip(self.xs, directions)]) for s in steps]
        return self.cotangents @ np.stack(rows, axis=-1)

    def measure_noise(self) -> Host:
        """The rounding error of L for each cotangent: the root mean square of its fourth differences, divided by √70."""
        directions = [dense(self.rng, x.shape) * np.maximum(1, np.abs(x)) for x in self.xs]
        fourth = np.diff(self.along(directions, [1e-10 * i for i in range(-4, 5)]), 4, axis=-1)
        measured = np.sqrt((fourth**2).mean(axis=-1) / 70)
        return np.maximum(np.nan_to_num(measured), EPS * np.sqrt(self.cotangents**2 @ self.y**2))

    def slopes(self, t: int, direction: Host, analytic: Host) -> Slopes:
        """The slopes of all L along one direction in input t, each at the first step of the ladder that settles it."""
        x = self.xs[t].ravel()
        scale = np.maximum(1, np.abs(x))
        h = self.step * (float(scale @ np.abs(direction)) if np.count_nonzero(direction) == 1 else 1.0)
        d = [np.zeros_like(other) for other in self.xs]
        d[t] = direction.reshape(self.xs[t].shape)
        best: Slopes | None = None
        settled = np.zeros(len(analytic), bool)
        for rung in LADDER:
            step = h * rung
            with np.errstate(all="ignore"):
                values = self.along(d, [-2 * step, -step, 0.0, step, 2 * step])
                found = measure(values, step, self.noise)
                found.error = np.where(np.isfinite(found.numeric), found.error, np.inf)
                verdict = Verdict(analytic, found, self.rtol)
            if best is None:
                best = found
            else:
                better = ~settled & (verdict.right_and_known | (found.error < best.error))
                for key, value in vars(found).items():
                    setattr(best, key, np.where(better, value, getattr(best, key)))
            settled |= verdict.right_and_known
            if settled.all():
                break
        assert best is not None
        return best

    def judge(self, report: Report, t: int, analytic: Host, directions: Host, each_element: bool) -> None:
        """Compare all slopes of input t; add a line, its kinks, and a fault if there is one."""
        slot = self.slots[t]
        a = analytic @ directions.T
        columns = [self.slopes(t, d, a[:, j]) for j, d in enumerate(directions)]
        empty = np.zeros((len(a), 0))
        found = Slopes(*(np.stack([vars(c)[k] for c in columns], 1) if columns else empty for k in vars(Slopes(*[empty] * 6))))
        verdict = Verdict(a, found, self.rtol)
        report.lines.append(
            Line(slot.name, slot.x.shape, *(int(v.sum()) for v in (verdict.compared, verdict.zero, verdict.kink, verdict.hidden)),
                 float(np.max(verdict.relative, where=verdict.compared, initial=0.0)))
        )  # fmt: skip
        for row, column in np.argwhere(verdict.kink):
            if row < len(self.y) or not self.each_output:
                low, high = sorted((found.left[row, column], found.right[row, column]))
                place = self.place(slot, row, column, each_element)
                report.kinks.append(Kink(place, float(a[row, column]) / self.size(row), low / self.size(row), high / self.size(row)))
