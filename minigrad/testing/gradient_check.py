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
is one output in turn here, which spells out the whole Jacobian, then random numbers for all, which shows a rule that
forgets g. Beyond SMALL elements a few random mixtures of outputs, and random directions in an input, take the place of
single elements.

**Kinks.** Where the slopes from the left and from the right differ, as those of |x| at 0, each value between them is a
subgradient: such places are reported with their interval, and pass if the analytic value lies within.

Read subject, cotangents, slopes, slips, and `check` below, which puts them together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import backend
from ..autograd.tensor import Tensor
from ..nn.module import Module
from ._cotangents import FEW, SMALL, Cotangents, bracket
from ._diagnosis import slip
from ._finite_differences import STEP, Ruler
from ._function import Host, Subject, first_order, host, second_order, untouched
from ._report import Fault, GradcheckError, Kink, Line, Report

np = backend.numpy


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
    numbers stay as they are, bit for bit. `order=2` checks second derivatives too, those of `grad(create_graph=True)`;
    at a kink, where there are none, it fails. `eps` is the step relative to max(1, |x|); `rtol` the relative error
    allowed beside the measured uncertainty; `allow_zero` lets an input pass whose gradient is zero on both sides.
    Random numbers come from `seed` alone.

    Returns a Report, true if the check passed. Raises GradcheckError with the report as its message if not, unless
    `raise_exception=False`; TypeError where there is nothing to check.
    """
    if order not in (1, 2):
        raise ValueError(f"gradcheck: expected order 1 or 2, got {order!r}")
    if not (module is None or isinstance(module, Module)):
        raise TypeError(f"gradcheck: expected a Module as module, got {type(module).__name__}")
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    module = function if module is None and isinstance(function, Module) else module
    name = type(function).__name__ if isinstance(function, Module) else getattr(function, "__name__", str(function))
    rng, step = backend.random.new_generator(seed), eps or STEP
    with untouched(module), np.errstate(all="ignore"):
        subject = first_order(function, inputs, module)
        report = check(f"{name}, gradient", subject, rng, step, rtol, allow_zero)
        if order == 2 and report:
            title = f"{name}, second derivatives"
            if report.kinks:  # where the slope jumps, how it is judged would depend on the random directions
                report.second = Report(title, "there are none at a kink: move the input off it, or check order 1 alone")
            else:  # the second derivative of what is linear is zero, rightly; its cotangents are still checked
                report.second = check(title, second_order(subject, rng), rng, step, rtol, True)
    if raise_exception and not report:
        raise GradcheckError(report)
    return report


def check(title: str, subject: Subject, rng: Any, step: float, rtol: float, allow_zero: bool) -> Report:
    """The report on one order: what `backward` gives for each cotangent, and what the ruler says of it."""
    xs = [slot.x for slot in subject.slots]
    y = subject.values(xs)
    if not np.isfinite(y).all():
        return Report(title, "the function is not finite at this input: there is no slope to compare")
    cotangents = Cotangents([output.shape for output in subject(xs)], rng)
    try:
        rows = subject.gradients(xs, cotangents.rows)
        again = subject.gradients(xs, cotangents.rows[-1:])[0]
    except RuntimeError as error:
        if "its VJP for argument" not in str(error):
            raise
        return Report(title, f"backward stopped at {error}\n    looks like: an unsummed axis, a transpose, or a cast")
    if any(a.tobytes() != b.tobytes() for a, b in zip([y, *rows[-1]], [subject.values(xs), *again])):
        return Report(title, "the function is not deterministic: a second call gave other bits. Dropout? model.eval()")
    if any(host(slot.leaf).tobytes() != slot.x.tobytes() for slot in subject.slots):
        return Report(title, "the function changes its inputs in place, so it does not see x + h and x - h")
    report = Report(title)
    ruler = Ruler(subject, cotangents.rows, step, rtol)
    for t, gradient in enumerate(zip(*rows)):
        judge(report, ruler, cotangents, t, np.stack(gradient), rng)
    blind = [line.name for line in report.lines if not (line.agree or line.kinks or line.wrong)]
    if blind and not allow_zero:
        report.refusal = (
            f"a vacuous check of {', '.join(blind)}: every slope is zero on both sides, or hidden by noise\n"
            f"  ({ruler.noise.max(initial=0):.0e} in f), so that any rule would pass. Choose other inputs or another "
            "function of\n  the output; or, if zero is as it should be, pass allow_zero=True"
        )
    if not report.kinks:
        slope = sum(float(a @ d.ravel()) for a, d in zip(rows[-1], ruler.everywhere))
        report.convergence = list(ruler.convergence(slope))
    return report


def judge(report: Report, ruler: Ruler, cotangents: Cotangents, t: int, gradient: Host, rng: Any) -> None:
    """Compare the slopes of input t; note what was seen, its kinks, and its fault if there is one."""
    slot = ruler.subject.slots[t]
    n, shape, counted = slot.x.size, slot.x.shape, cotangents.counted
    each = n <= FEW or sum(x.size for x in ruler.xs) <= SMALL
    directions: list[Any] = list(range(n)) if each else list(rng.standard_normal((FEW, n)))
    found = ruler.compare(t, directions, gradient)
    kinds = (found.agree, found.zero, found.kink, found.hidden)
    agree, zero, kinks, hidden = (int(kind[counted].sum()) for kind in kinds)
    worst = float(np.max(found.relative, where=found.agree, initial=0.0))
    report.lines.append(Line(slot.name, shape, agree, zero, kinks, hidden, int(found.wrong.sum()), worst))
    if found.wrong.any() and not each:
        # Which elements are wrong? Try the largest, and some others.
        largest = np.argsort(-np.abs(gradient[-1]))[: 4 * FEW]
        elements = sorted({int(i) for i in (*largest, *rng.integers(0, n, 4 * FEW))})
        closer = ruler.compare(t, elements, gradient)
        if closer.wrong.any():
            directions, found = elements, closer

    def place(row: int, column: int) -> str:
        direction = directions[column]
        x = bracket(direction, shape) if isinstance(direction, int) else ", mixed"
        return f"d({cotangents.name(row)}) / d({slot.name}{x})"

    for row, column in np.argwhere(found.kink[counted]):
        analytic, _, _, low, high = found.at(row, column)
        report.kinks.append(Kink(place(row, column), analytic, low, high))
    if found.wrong.any():
        gap = np.where(found.wrong, np.nan_to_num(found.gap, nan=np.inf), -1.0)
        gap = gap[counted] if found.wrong[counted].any() else gap
        row, column = divmod(int(gap.argmax()), len(directions))
        analytic, numeric, error, low, high = found.at(row, column)
        interval = (low, high) if found.bent[row, column] else None
        wrong = f"{found.wrong.sum()} of {found.wrong.size}"
        guess = slip(found, cotangents, shape)
        report.faults.append(Fault(slot.name, place(row, column), analytic, numeric, error, interval, wrong, guess))
