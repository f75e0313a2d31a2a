"""`gradcheck` compares the gradient that `backward` computes with slopes measured by moving the inputs a little.

**Central differences.** (f(x + h) - f(x - h)) / 2h differs from f'(x) by h² f‴/6, as the even terms of the series of
Taylor cancel, and by rounding, about ε |f| / h. The first shrinks with h and the second grows; their sum is least near
h = ε^(1/3) max(1, |x|), 6e-6 in float64 (Nocedal and Wright, *Numerical Optimization*, section 8.1). What is left of
both is measured here, so that no tolerance is guessed: the first by comparing with the step 2h (Richardson's estimate),
the rounding from the fourth differences of f at nearly equal points, where a smooth function shows only its noise
(Moré and Wild, *Estimating Computational Noise*, SIAM J. Sci. Comput. 33, 2011). A slope that the noise hides counts as
not checked, and a check that saw no slope at all fails: it would have passed any rule.

**A random cotangent.** `backward` computes gᵀJ: the Jacobian J seen through one g = dL/dy. With g = 1, which
`f(x).sum()` means, softmax has the gradient 0, as its rows always sum to 1, and a rule that returns zeros passes. So g
is random here: a number for each output in turn, which spells out the whole Jacobian, then all outputs at once. Beyond
SMALL elements a few random mixtures of outputs, and random directions in an input, take the place of single elements.

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

EPS = 2.0**-52  # of float64
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

    name: str
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
    """What was seen of one input: the number of slopes that agree, are zero, are kinks, lie in the noise, are wrong."""

    name: str
    shape: tuple[int, ...]
    agree: int
    zero: int
    kinks: int
    hidden: int
    wrong: int
    worst: float

    @staticmethod
    def of(slot: Slot, verdict: Verdict, rows: int | None) -> Line:
        """The counts of a verdict, over its first `rows` rows."""
        kinds = (verdict.compared, verdict.zero, verdict.kink, verdict.hidden)
        agree, zero, kinks, hidden = (int(kind[:rows].sum()) for kind in kinds)
        worst = float(np.max(verdict.relative, where=verdict.compared, initial=0.0))
        return Line(slot.name, slot.x.shape, agree, zero, kinks, hidden, int(verdict.wrong.sum()), worst)


@dataclass
class Report:
    """What a check saw. True if it passed; as text, the report."""

    name: str
    order: int = 1
    lines: list[Line] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    kinks: list[Kink] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    convergence: list[tuple[float, float, float | None]] = field(
        default_factory=list
    )  # step, error, order (or rounding)
    second: Report | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong and something was seen, in each order that was checked."""
        return not self.faults and not self.refusals and (self.second is None or self.second.passed)

    def refuse(self, why: str) -> Report:
        """Note that the check could not be done, and why; returns self."""
        self.refusals.append(why)
        return self

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
            text.append(f"  {'':{width}}  {'shape':{wide}}    agree   zero  kinks  hidden  wrong  worst error")
            text += [
                f"  {n.name:{width}}  {n.shape!s:{wide}}  {n.agree:7}{n.zero:7}{n.kinks:7}{n.hidden:8}{n.wrong:7}  "
                + (f"{n.worst:11.1e}" if n.agree else f"{'-':>11}")
                for n in self.lines
            ]
        text += [str(kink) for kink in self.kinks[:3]]
        text += [f"  ... and {len(self.kinks) - 3} kinks more"] * (len(self.kinks) > 3)
        if self.convergence:
            text.append("  along one direction, numeric less analytic (order 2: half of h, a quarter of the error)")
            for h, error, order in self.convergence:
                tail = "" if order is None else "   rounding" if order == math.inf else f"   order {order:.2f}"
                text.append(f"    h {h:.4f}   error {error:.1e}{tail}")
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
        return Tensor(backend.library(self.device).from_host(np.array(x)), True)


def host(tensor: Tensor) -> Host:
    """The elements on the CPU."""
    return backend.OWNERS[type(tensor.array)].to_host(tensor.array)


class Subject:
    """The function under check, called with float64 copies in the place of its floating inputs and parameters."""

    def __init__(self, function: Callable[..., Any], inputs: Sequence[Any], module: Module | None) -> None:
        self.function = function
        self.args = [x.detach().clone() if isinstance(x, Tensor) else x for x in inputs]
        floating = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.dtype.kind == "f"]
        checked = [i for i in floating if inputs[i].requires_grad] or floating
        for i in floating:
            self.args[i] = self.args[i].double()
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
        """dL/dx of each leaf; zeros where nothing flows."""
        reached = [(y, g) for y, g in zip(outputs, cotangents) if y.requires_grad]
        if not reached:
            return [np.zeros(leaf.shape) for leaf in leaves]
        gs = [Tensor(backend.library(y.device).from_host(g.astype(y.dtype))) for y, g in reached]
        found = grad([y for y, _ in reached], leaves, gs, retain_graph=True, allow_unused=True)
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
        with enable_grad():
            reached = [(y, g.to(dtype=y.dtype)) for y, g in zip(outputs, cotangents) if y.requires_grad]
            gs = [g for _, g in reached]
            found = grad([y for y, _ in reached], leaves, gs, create_graph=True, allow_unused=True)
        return [*leaves, *cotangents], [g for g in found if g is not None]


def doubled(tensor: Tensor) -> Host:
    """The elements on the CPU, a copy in float64."""
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
    numbers stay as they are, bit for bit. `order=2` checks second derivatives too, those of `grad(create_graph=True)`.
    `eps` is the step relative to max(1, |x|); `rtol` the relative error allowed beside the measured uncertainty;
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
    with untouched(module), np.errstate(all="ignore"):
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
    return np.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape))


@dataclass
class Slopes:
    """Measured slopes: one row for each output, or mixture of outputs, one column for each direction."""

    numeric: Host
    error: Host  # the uncertainty of numeric
    left: Host
    right: Host
    margin: Host  # the uncertainty of left and right
    bent: Host  # left and right differ, however small the step: a kink


def measure(values: Host, h: float, noise: Host) -> Slopes:
    """Slopes from f at x - 2h, x - h, x, x + h, x + 2h, the last axis of `values`."""
    a, b, c, d, e = np.moveaxis(values, -1, 0)
    numeric, wide = (d - b) / (2 * h), (e - a) / (4 * h)
    rounding = 8 * noise / h
    left, right = (c - b) / h, (d - c) / h
    jump, wide_jump = right - left, ((e - c) - (c - a)) / (2 * h)
    # As h is halved, the difference of a smooth function's one-sided slopes halves, a kink's stays, a jump's doubles.
    stays = (0.75 * np.abs(wide_jump) < np.abs(jump)) & (np.abs(jump) < 1.4 * np.abs(wide_jump))
    bent = stays & (np.abs(jump) > 5 * rounding)
    error = rounding + np.abs(wide - numeric) / 3
    return Slopes(numeric, np.where(np.isfinite(error), error, np.inf), left, right, np.abs(jump - wide_jump), bent)


class Verdict:
    """What the two sides say of each slope; each is exactly one of compared, zero, kink, hidden or wrong.

    `scale` is the largest analytic slope of the row: what is far smaller counts as zero.
    """

    def __init__(self, a: Host, found: Slopes, rtol: float, scale: Host) -> None:
        size = np.fmax(np.abs(a), np.abs(found.numeric))
        allowed = rtol * size + found.error
        low, high = np.minimum(found.left, found.right), np.maximum(found.left, found.right)
        agree = np.abs(a - found.numeric) <= allowed
        slack = allowed + found.margin
        self.kink = found.bent & (low - slack <= a) & (a <= high + slack)
        agree &= ~self.kink
        self.wrong = ~agree & ~self.kink
        self.compared = agree & (size > 0) & (found.error <= SHARP * size)
        small = (size <= found.error) & (found.error <= SHARP * scale)
        self.zero = agree & ~self.compared & (small | (size == 0))
        self.hidden = agree & ~self.compared & ~self.zero
        self.relative = np.where(agree, np.abs(a - found.numeric) / np.where(size == 0, 1, size), 0.0)
        self.settled = self.kink | self.zero | (self.compared & (found.error <= SHARP**2 * size))


class Check:
    """One check: the cotangents, the directions, the slopes on both sides, and the verdict on each input."""

    def __init__(self, subject: Subject, rng: Any, step: float, rtol: float) -> None:
        self.subject, self.rng, self.step, self.rtol = subject, rng, step, rtol
        self.xs = [slot.x for slot in subject.slots]

    def run(self, report: Report, allow_zero: bool) -> Report:
        """Fill in the report."""
        self.shapes = [y.shape for y in self.subject(self.xs)[1]]
        self.y = self.subject.values(self.xs)
        m = self.y.size
        if not np.isfinite(self.y).all():
            return report.refuse("the function is not finite at this input: there is no slope to compare")
        # backward gets the rows of `cotangents`; `readers` say which outputs, or mixture of them, each speaks of.
        self.each_output = m <= SMALL
        mixture = dense(self.rng, (1 if self.each_output else FEW, m))
        self.factors = dense(self.rng, (m if self.each_output else 0, 1))
        self.readers = np.concatenate([np.eye(m), mixture]) if self.each_output else mixture
        cotangents = np.concatenate([self.factors * np.eye(m), mixture]) if self.each_output else mixture
        try:
            rows = self.subject.gradients(self.xs, cotangents)
            again = self.subject.gradients(self.xs, cotangents[-1:])[0]
        except RuntimeError as error:
            if "its rule for argument" not in str(error):
                raise
            return report.refuse(
                f"backward stopped at {error}\n    looks like: an unsummed axis, a transpose, or a cast"
            )
        repeated = [self.subject.values(self.xs), *again]
        if any(a.tobytes() != b.tobytes() for a, b in zip([self.y, *rows[-1]], repeated)):
            return report.refuse(
                "the function is not deterministic: a second call gave other bits. Dropout? model.eval()"
            )
        if any(host(leaf).tobytes() != x.tobytes() for leaf, x in zip(self.subject(self.xs)[0], self.xs)):
            return report.refuse("the function changes its inputs in place, so it does not see x + h and x - h")
        self.noise = self.measure_noise()
        for t in range(len(self.xs)):
            analytic = np.stack([row[t].ravel() for row in rows])
            analytic[: len(self.factors)] /= self.factors
            self.judge(report, t, analytic)
        if not allow_zero:
            self.refuse_vacuous(report)
        if not report.kinks:
            slope = sum(float((a * d).sum()) for a, d in zip(rows[-1], self.everywhere()))
            report.convergence = list(self.convergence(slope))
        return report

    def refuse_vacuous(self, report: Report) -> None:
        """A check, or an input, of which no slope was seen is refused: any rule would pass."""
        blind = [line.name for line in report.lines if not (line.agree or line.kinks or line.wrong)]
        if len(blind) == len(report.lines):
            noise = float(np.max(self.noise, initial=0.0))
            report.refuse(
                f"a vacuous check: every slope is zero on both sides, or hidden by noise ({noise:.0e} in f).\n"
                "  Any rule would pass. Choose other inputs, or another function of the output"
            )
        elif blind:
            report.refuse(
                f"a vacuous check of {', '.join(blind)}: zero on both sides, or hidden by noise.\n"
                "  If that is as it should be, pass allow_zero=True"
            )

    # The numeric side
    def along(self, directions: Sequence[Host], steps: Sequence[float]) -> Host:
        """Each reader's value at x + step · direction, for each step: (readers, steps)."""
        rows = [self.subject.values([x + step * d for x, d in zip(self.xs, directions)]) for step in steps]
        return self.readers @ np.stack(rows, axis=-1)

    def everywhere(self) -> list[Host]:
        """One direction that moves every element of every input, the same at each call."""
        rng = backend.generator(0)
        root = math.sqrt(max(1, sum(x.size for x in self.xs)))
        return [dense(rng, x.shape) * np.maximum(1, np.abs(x)) / root for x in self.xs]

    def measure_noise(self) -> Host:
        """The rounding error of each reader's value: the root mean square of fourth differences, divided by √70.

        Points very near show it beside a kink, points a step apart where values move in coarser leaps than x does; of
        those, the quieter side, as a kink may lie in the other.
        """
        near = self.fourth_differences(range(-4, 5), 1e-10)
        left, right = (self.fourth_differences(side, self.step) for side in (range(-6, 1), range(7)))
        return np.fmax(np.fmax(near, np.fmin(left, right)), EPS * np.sqrt(self.readers**2 @ self.y**2))

    def fourth_differences(self, points: range, step: float) -> Host:
        """Their root mean square, divided by √70, at these multiples of a step."""
        fourth = np.diff(self.along(self.everywhere(), [step * i for i in points]), 4, axis=-1)
        return np.sqrt((fourth**2).mean(axis=-1) / 70)

    def slopes(self, t: int, direction: Any, a: Host, scale: Host) -> Slopes:
        """The slopes along one direction of input t (a position in the flat array, or an array)."""
        d = [np.zeros_like(x) for x in self.xs]
        h = self.step
        if isinstance(direction, int):
            d[t].flat[direction] = 1.0
            h *= max(1.0, abs(float(self.xs[t].flat[direction])))
        else:
            d[t] = direction.reshape(d[t].shape)
        best, settled = None, np.zeros(len(a), bool)
        for rung in LADDER:
            found = measure(self.along(d, [rung * h * i for i in range(-2, 3)]), rung * h, self.noise)
            now = Verdict(a, found, self.rtol, scale).settled
            if best is None:
                best = found
            else:
                better = ~settled & (now | (found.error < best.error))
                best = Slopes(*(np.where(better, new, old) for new, old in zip(columns(found), columns(best))))
            settled |= now
            if settled.all():
                break
        assert best is not None
        return best

    def convergence(self, slope: float) -> Iterator[tuple[float, float, float | None]]:
        """(h, error, order): how the error of central differences shrinks as h is halved."""
        before = None
        for h in (2.0**-i for i in range(5, 9)):
            low, high = self.along(self.everywhere(), [-h, h])[-1]
            error = abs((high - low) / (2 * h) - slope)
            if not math.isfinite(error):
                return
            exact = error <= 10 * self.noise[-1] / h
            yield h, error, math.inf if exact else math.log2(before / error) if before else None
            before = None if exact else error

    # The verdict
    def judge(self, report: Report, t: int, analytic: Host) -> None:
        """Compare the slopes of input t; note what was seen, its kinks, and its fault if there is one."""
        slot = self.subject.slots[t]
        n = slot.x.size
        scale = np.max(np.abs(analytic), axis=1, initial=0.0)
        if sum(x.size for x in self.xs) <= SMALL or n <= FEW:
            directions: list[Any] = list(range(n))
        else:
            directions = list(self.rng.standard_normal((FEW, n)))
        a, found, verdict = self.compare(t, directions, analytic, scale)
        report.lines.append(Line.of(slot, verdict, len(self.factors) or None))
        if verdict.wrong.any() and not isinstance(directions[0], int):
            # Which elements are wrong? Try the largest, and some others.
            largest = np.argsort(-np.abs(analytic[-1]))[: 4 * FEW]
            elements = [int(i) for i in {*largest, *self.rng.integers(0, n, 4 * FEW)}]
            closer = self.compare(t, elements, analytic, scale)
            if closer[2].wrong.any():
                directions, (a, found, verdict) = elements, closer
        for row, column in np.argwhere(verdict.kink[: len(self.factors) or None]):
            low, high = sorted((found.left[row, column], found.right[row, column]))
            place = self.place(slot, int(row), directions[column])
            report.kinks.append(Kink(place, float(a[row, column]), float(low), float(high)))
        if verdict.wrong.any():
            gap = np.where(verdict.wrong, np.nan_to_num(np.abs(a - found.numeric), nan=np.inf), -1.0)
            row, column = np.unravel_index(int(gap[: len(self.factors) or None].argmax()), a.shape)
            if not verdict.wrong[row, column]:
                row, column = np.unravel_index(int(gap.argmax()), a.shape)
            sides = sorted((float(found.left[row, column]), float(found.right[row, column])))
            complete = self.each_output and len(directions) == n and isinstance(directions[0], int)
            report.faults.append(
                Fault(
                    slot.name,
                    self.place(slot, int(row), directions[column]),
                    float(a[row, column]),
                    float(found.numeric[row, column]),
                    float(found.error[row, column]),
                    int(verdict.wrong.sum()),
                    a.size,
                    slip(a, found, self.readers, self.factors, slot.x.shape, self.shapes, complete),
                    (sides[0], sides[1]) if found.bent[row, column] else None,
                )
            )

    def compare(self, t: int, directions: Sequence[Any], analytic: Host, scale: Host) -> tuple[Host, Slopes, Verdict]:
        """Both sides along these directions of input t, and the verdict."""
        empty = np.zeros((len(analytic), 0))
        sides = [analytic[:, d] if isinstance(d, int) else analytic @ d for d in directions]
        found = [self.slopes(t, d, side, scale) for d, side in zip(directions, sides)]
        a = np.stack(sides, axis=1) if sides else empty
        slopes = Slopes(*([np.stack(parts, axis=1) for parts in zip(*map(columns, found))] or [empty] * 6))
        slopes.bent = slopes.bent.astype(bool)
        return a, slopes, Verdict(a, slopes, self.rtol, scale[:, None])

    def place(self, slot: Slot, row: int, direction: Any) -> str:
        """In words: which output's slope along which input."""
        x = f"{slot.name}{bracket(direction, slot.x.shape)}" if isinstance(direction, int) else f"{slot.name}, mixed"
        if row >= len(self.factors):
            return f"d(outputs, mixed) / d({x})"
        for i, shape in enumerate(self.shapes):
            if row < math.prod(shape):
                return f"d(output{f' {i}' if len(self.shapes) > 1 else ''}{bracket(int(row), shape)}) / d({x})"
            row -= math.prod(shape)
        raise AssertionError("a row beyond the outputs")


def columns(slopes: Slopes) -> list[Host]:
    """The arrays of a Slopes, in order."""
    return list(vars(slopes).values())


def bracket(position: int, shape: tuple[int, ...]) -> str:
    """The index of a position in the flat array, as it is written: [1, 2], or nothing for a 0-d array."""
    return str(list(backend.unravel(position, shape))) if shape else ""


# Which slip it looks like
def slip(
    a: Host,
    found: Slopes,
    readers: Host,
    factors: Host,
    x_shape: tuple[int, ...],
    y_shapes: list[tuple[int, ...]],
    complete: bool,
) -> str:
    """The usual mistake that explains the analytic slopes `a` beside the measured ones, in words.

    `complete` says that rows are all the outputs (and one mixture), and columns all the elements of x.
    """
    n, noise = found.numeric, 10 * np.where(np.isfinite(found.error), found.error, 0)

    def close(p: Host, q: Host) -> Host:
        return np.abs(p - q) <= 1e-6 * np.maximum(np.abs(p), np.abs(q)) + noise[: len(p)]

    if not np.isfinite(n).all():
        return "no slip of the rule: the function is not finite near this input, the edge of its domain"
    if not np.isfinite(a).all():
        return "nan or inf in the rule: a division by 0, or the logarithm or root of 0"
    if not a.any():
        return "zero: the graph is cut (detach, no_grad, item), or a rule returns zeros"
    m = len(factors)
    if m and not close(readers[-1:] @ a[:m], a[-1:]).all():
        if np.allclose(a[:m] * factors, a[-1], rtol=1e-6, atol=noise.max()):
            return "the incoming gradient g was forgotten: the rule gives the same for every g"
        return "a rule that is not linear in the incoming gradient g"
    if close(a, n).all():
        return "rounding: a cast to float32 on the way"
    c = float((a * n).sum() / max((n * n).sum(), 1e-300))
    if c and close(a, c * n).all():
        return factor(c, x_shape, y_shapes)
    if close(np.abs(a), np.abs(n)).all():
        return "the sign of some elements, as in the rule of |x|, a difference, or an inverted condition"
    if complete and turned(a[-1].reshape(x_shape), n[-1].reshape(x_shape), noise.max()):
        return "a transpose: these are the right numbers with their axes exchanged"
    if m:  # from here on the Jacobian alone, without the mixture
        a, n, noise, bent = a[:m], n[:m], noise[:m], found.bent[:m]
    else:
        bent = found.bent
    wrong = ~close(a, n)
    if (wrong & bent).any() and not (wrong & ~bent).any():
        return "a value at a kink that is no subgradient: it has to lie between the slopes from left and right"
    if complete and a.shape == a.T.shape:
        beside = ~np.eye(m, dtype=bool)
        if np.allclose(a, n.T, rtol=1e-6, atol=noise.max()):
            return "a transpose: the Jacobian itself where its transpose belongs, as G W for G Wᵀ"
        if not a[beside].any() and (wrong & beside).any() and n.diagonal().all():
            return "a missing sum: only dyᵢ/dxᵢ is there, but each output depends on several inputs, as in softmax"
    extra, missing = wrong & (np.abs(n) <= noise), wrong & (np.abs(a) <= noise)
    if wrong.any() and (extra | missing)[wrong].all():
        if not missing.any():
            return "a forgotten mask: a gradient flows where the slope is 0"
        if extra.any():
            return "a mask that is inverted, or an index that is shifted: the gradient goes to the wrong elements"
        there = np.abs(n) > noise
        whole_rows = (missing == there).all(axis=1) | ~missing.any(axis=1)
        if m and whole_rows.all() and (there & ~missing).any(axis=0)[missing.any(axis=0)].all():
            return "an unsummed axis: only some of the outputs are counted, those of one row or slice"
        return "elements left out: a mask too strict, a slice too short, or an index used twice and counted once"
    if wrong.any() and (np.abs(a - n) < 0.05 * np.maximum(np.abs(a), np.abs(n)))[wrong].all():
        return "nearly right: a small term is missing, or a constant is a little off"
    return (
        "none of the usual ones (sign, factor, transpose, mask, sum): compare the formula term by term; a stale input?"
    )


def turned(a: Host, n: Host, noise: float) -> bool:
    """Whether a is n with its axes in another order."""
    orders = itertools.permutations(range(n.ndim)) if n.ndim <= 4 else ()
    others = (n.transpose(order) for order in orders)
    return any(other.shape == a.shape and np.allclose(a, other, rtol=1e-6, atol=noise) for other in others)


def factor(c: float, x_shape: tuple[int, ...], y_shapes: list[tuple[int, ...]]) -> str:
    """Why a gradient may be c times what it should be."""

    def is_(value: float) -> bool:
        return abs(abs(c) - value) <= 1e-6 * value

    sign = "the sign, and " if c < 0 else ""
    if is_(1.0):
        return "the sign: a minus too many or too few"
    lengths = {math.prod(x_shape): "the number of elements of the input"}
    for owner, shape in [("an output", shape) for shape in y_shapes] + [("the input", x_shape)]:
        lengths.update({length: f"axis {i} of {owner}" for i, length in enumerate(shape)})
    why = []
    if is_(2.0):
        why.append("counted twice")
    if is_(0.5):
        why.append("a 2 forgotten, as in (x²)' = 2x, or a Tensor used twice and counted once")
    for length, name in lengths.items():
        if length > 1 and is_(length):
            why.append(f"not divided by N = {length}, {name}, as a mean is")
        if length > 1 and is_(1 / length):
            why.append(f"divided by N = {length}, {name}, or one of {length} equal parts taken: an unsummed axis")
    return f"{sign}a factor {abs(c):.6g}" + (f": {'; or '.join(why)}" if why else " everywhere")
