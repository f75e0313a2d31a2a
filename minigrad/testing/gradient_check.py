"""`gradcheck`: compare the gradients that `backward` computes with slopes measured by moving the inputs a little.

**The idea** fits in a few lines. Central differences approximate the slope of f along a direction d,

    slope = (f(x + h d) - f(x - h d)) / 2h,

and the chain rule says that it equals Σ dL/dx · d. `simple_gradcheck` below is exactly that.

**Why it is not enough.** A fixed h and a fixed tolerance pass wrong gradients and reject right ones:

- The truncation error of the difference falls with h² and its rounding error grows with 1/h, so the right h depends on
  f and x. `_finite_differences` chooses it, and estimates the error that is left instead of guessing a tolerance.
- With L = f(x).sum() the cotangent dL/dy is 1 everywhere. The rows of softmax sum to 1, so its gradient is then 0, and
  a VJP that returns zeros passes. `_cotangents` takes each output in turn, then random mixtures.
- At a kink, such as relu at 0, there is no slope. Any value between the slopes from left and right is a subgradient.
  But along a direction that moves all elements of a tie together max is smooth, so shares have to add up.
- A slope belongs to one cotangent. A VJP that clips its cotangent, writes to it, or returns the same buffer twice
  passes that comparison and is wrong in use. `check_vjp_use` calls it in several ways.

Where no slope can be measured well enough the verdict is "cannot judge": every VJP would pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from .. import backend
from ..autograd.tensor import Tensor, grad
from ..nn.module import Module
from ._cotangents import DENSE_LIMIT, N_RANDOM, Cotangents, bracket
from ._diagnosis import diagnose
from ._finite_differences import EPS, STEP, FiniteDifferences, SlopeComparison, scale_of
from ._function import (
    CheckedInput,
    FunctionUnderTest,
    Host,
    first_order,
    preserve_state,
    random_nonzero,
    second_order,
    to_host,
)
from ._report import Fault, GradcheckError, InputSummary, Kink, Report

np = backend.numpy


def simple_gradcheck(function: Callable[[Tensor], Tensor], x: Tensor, h: float = 1e-6, rtol: float = 1e-6) -> bool:
    """Whether the gradient of L = Σ g · function(x), for a random g, equals its slopes: the idea, without the care.

    Example:
        >>> import minigrad as mg
        >>> simple_gradcheck(mg.tanh, mg.tensor([-2.0, 0.5, 3.0]))
        True
    """
    x = x.detach().double().requires_grad_()
    y = function(x)
    g = Tensor(np.random.default_rng(0).standard_normal(y.shape))
    (dx,) = grad([y], [x], [g])
    assert dx is not None  # nosec B101 # for mypy; always true without allow_unused
    for i in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[i] = h
        up, down = (function(x.detach() + Tensor(np.asarray(sign * step))) for sign in (1, -1))
        slope = ((up - down) * g).sum().item() / (2 * h)
        if not math.isclose(slope, dx[i].item(), rel_tol=rtol, abs_tol=rtol):
            return False
    return True


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
    """Check the gradients of `function(*inputs)`, one Tensor or several, against finite differences in float64.

    All runs on float64 copies: inputs, model and random numbers are left as they are, bit for bit.

    Args:
        function: a function of Tensors, or a Module; returns a Tensor, or several.
        inputs: a Tensor or a sequence. Those that require a gradient are checked, or all floating ones if none does.
        module: a Module whose parameters are checked, too; `function` itself if it is one.
        order: 2 also checks the second derivatives, those of `grad(create_graph=True)`.
        eps: the first step, relative to |x|; it is adapted where it does not fit.
        rtol: the relative error allowed beside the measured uncertainty.
        seed: of the random cotangents and directions.
        allow_zero: pass an input whose gradient is zero on both sides.
        raise_exception: raise GradcheckError unless the check passes.

    Returns:
        A Report, true if the check passed.

    Raises:
        GradcheckError: the check did not pass; the message is the report.
        TypeError: there is nothing to check.

    Example:
        >>> import minigrad as mg
        >>> bool(mg.gradcheck(mg.tanh, mg.tensor([-2.0, 0.5, 3.0])))
        True
        >>> wrong = lambda x: x * x.detach()  # its gradient is x, where that of x² is 2x
        >>> print(mg.gradcheck(wrong, mg.tensor([1.0]), raise_exception=False))
        gradcheck of <lambda>, gradient: FAILED
          2 of 2 slopes are wrong, the worst d(output...
    """
    if order not in (1, 2):
        raise ValueError(f"gradcheck: expected order 1 or 2, got {order!r}")
    if not (module is None or isinstance(module, Module)):
        raise TypeError(f"gradcheck: expected a Module as module, got {type(module).__name__}")
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    module = function if module is None and isinstance(function, Module) else module
    name = type(function).__name__ if isinstance(function, Module) else getattr(function, "__name__", str(function))
    rng, step = backend.random.new_generator(seed), eps or STEP
    with preserve_state(module), np.errstate(all="ignore"):
        under_test = first_order(function, inputs, module)
        report = check_order(f"{name}, gradient", under_test, rng, step, rtol, allow_zero)
        if not report.problem:
            report.misuse += check_float32(function, inputs, under_test)
        if order == 2 and report:
            title = f"{name}, second derivatives"
            if report.kinks:
                report.second_order = Report(
                    title, "they are not defined at a kink: move the input off it, or check order 1 alone"
                )
            else:  # the second derivative of a linear function is zero, rightly; its cotangents are still checked
                report.second_order = check_order(title, second_order(under_test, rng), rng, step, rtol, True)
    if raise_exception and not report:
        raise GradcheckError(report)
    return report


def check_order(
    title: str, function: FunctionUnderTest, rng: Any, step: float, rtol: float, allow_zero: bool
) -> Report:
    """The report on one order: gradients for each cotangent, beside slopes for each direction."""
    function.reset()
    y = function.value()
    if any(to_host(checked.leaf).tobytes() != checked.x.tobytes() for checked in function.inputs):
        return Report(title, "the function modifies its inputs in place, so x + h and x - h cannot be compared")
    if not np.isfinite(y).all():
        return Report(title, "the function is not finite at this input: there is no slope to compare")
    cotangents = Cotangents([output.shape for output in function.outputs()], rng)
    try:
        rows = function.gradients(cotangents.rows)
        again = function.gradients(cotangents.rows[-1:])[0]
        misuse = check_vjp_use(function, rng)
    except RuntimeError as error:
        if "its VJP for argument" not in str(error):
            raise
        report = Report(title)
        report.misuse.append(f"backward stopped: {error}\n    likely cause: an unsummed axis, a transpose, or a cast")
        return report
    if any(a.tobytes() != b.tobytes() for a, b in zip([y, *rows[-1]], [function.value(), *again])) and not misuse:
        return Report(title, "the function is not deterministic: a second call gave other bits. Dropout? model.eval()")
    report = Report(title)
    report.misuse += misuse
    differences = FiniteDifferences(function, cotangents, step, rtol)
    gradients = [np.stack(gradient) for gradient in zip(*rows)]
    kinked = [compare_input(report, differences, i, gradients[i], rng) for i in range(len(gradients))]
    compare_ties(report, differences, gradients, kinked, rng)
    unchecked = [line.name for line in report.inputs if not (line.agree or line.kinks or line.wrong)]
    if unchecked and not allow_zero:
        report.problem = (
            f"a vacuous check of {', '.join(unchecked)}: every slope is zero on both sides, or below the noise\n"
            f"  ({differences.rounding.max(initial=0):.0e} in f), so that any VJP would pass. Choose other inputs or "
            "another function of\n  the output; or, if zero is right, pass allow_zero=True"
        )
    if not report.kinks:
        slope = sum(float(gradients[i][-1] @ d.ravel()) for i, d in differences.everywhere.items())
        report.convergence = list(differences.convergence(slope))
    return report


class Direction(NamedTuple):
    """A direction in an input: along one element, or a mixture of them."""

    vector: Host
    scale: float
    element: int | None = None


def element_directions(elements: Iterable[int], scale: Host) -> list[Direction]:
    """The directions along these elements."""
    found = []
    for i in elements:
        vector = np.zeros(scale.size)
        vector[i] = 1.0
        found.append(Direction(vector, float(scale[i]), i))
    return found


def sample_directions(x: Host, gradient: Host, count: int, rng: Any) -> list[Direction]:
    """`count` mixtures in a large input, and as many elements that are zero, equal, of a large gradient, or any."""
    n, scale, flat = x.size, scale_of(x).ravel(), x.ravel()
    found = [Direction(d * scale, 1.0) for d in rng.standard_normal((count, n))]
    found.append(Direction(np.ones(n), float(np.median(scale))))
    if not flat.all():
        found.append(Direction((flat == 0) * 1.0, 1.0))
    _, first, counts = np.unique(flat, return_index=True, return_counts=True)
    special: list[Any] = [np.flatnonzero(flat == 0)[:count], first[counts > 1][:count]]
    special += [np.argsort(-np.abs(gradient[-1]))[:count], [flat.argmin(), flat.argmax()], rng.integers(0, n, count)]
    return found + element_directions(sorted({*map(int, np.concatenate(special))}), scale)


def compare_input(report: Report, differences: FiniteDifferences, i: int, gradient: Host, rng: Any) -> Host:
    """Compare the slopes of input i; enter its summary, kinks and fault. Returns which elements are at a kink."""
    inputs, cotangents = differences.function.inputs, differences.cotangents
    checked = inputs[i]
    x = checked.x
    kinked = np.zeros(x.size, bool)
    if not x.size:
        report.inputs.append(InputSummary(checked.name, x.shape, 0, 0, 0, 0, 0, 0.0))
        return kinked
    dense = sum(each.x.size for each in inputs) <= DENSE_LIMIT or x.size <= N_RANDOM
    every = element_directions(range(x.size), scale_of(x).ravel()) if dense else []
    directions = every or sample_directions(x, gradient, max(2, min(N_RANDOM, 256 // len(inputs))), rng)
    parts, names = [], []
    for vector, scale, element in directions:
        along = gradient @ vector if element is None else gradient[:, element]
        part = differences.compare({i: vector}, scale, along, EPS * (np.abs(gradient) @ np.abs(vector)))
        parts.append(part)
        if element is None:
            names.append(f"{checked.name}, mixed")
        else:
            names.append(checked.name + bracket(element, x.shape))
            kinked[element] = part.is_kink.any()
    found, counted = SlopeComparison.joined(parts), cotangents.counted
    agree, zero, kink, noise = (
        int(kind[counted].sum()) for kind in (found.agree, found.zero, found.kink, found.below_noise)
    )
    worst = float(np.max(found.relative, where=found.agree, initial=0.0))
    report.inputs.append(InputSummary(checked.name, x.shape, agree, zero, kink, noise, int(found.wrong.sum()), worst))
    for row, column in np.argwhere(found.kink[counted]):
        analytic, _, _, low, high = found.at(row, column)
        report.kinks.append(Kink(f"d({cotangents.name(row)}) / d({names[column]})", analytic, low, high))
    if found.wrong.any():
        elements = [column for column, direction in enumerate(directions) if direction.element is not None]
        cause = diagnose(found, differences, checked, elements, complete=dense and bool(cotangents.dense))
        enter_fault(report, found, cotangents, checked.name, names, cause)
    return kinked


def enter_fault(
    report: Report, found: SlopeComparison, cotangents: Cotangents, name: str, names: list[str], cause: str
) -> None:
    """Enter the worst of the wrong slopes, if possible of one output and one element."""
    gap = np.where(found.wrong, np.nan_to_num(found.gap, nan=np.inf), -1.0)
    gap = gap[cotangents.counted] if found.wrong[cotangents.counted].any() else gap
    is_mixed = np.array([each.endswith("mixed") for each in names])
    if (gap[:, ~is_mixed] >= 0).any():
        gap[:, is_mixed] = -1.0
    row, column = divmod(int(gap.argmax()), gap.shape[1])
    gradient, slope, error, low, high = found.at(row, column)
    interval = (low, high) if found.is_kink[row, column] else None
    place = f"d({cotangents.name(row)}) / d({names[column]})"
    wrong = f"{found.wrong.sum()} of {found.wrong.size}"
    report.faults.append(Fault(name, place, gradient, slope, error, interval, wrong, cause))


def compare_ties(
    report: Report, differences: FiniteDifferences, gradients: list[Host], kinked: list[Host], rng: Any
) -> None:
    """Move all elements at kinks together: a tie of max is smooth along that direction, so its shares must add up."""
    masks = {i: mask for i, mask in enumerate(kinked) if mask.any()}
    if report.faults or sum(int(mask.sum()) for mask in masks.values()) < 2:
        return
    inputs = differences.function.inputs
    scale = min(float(scale_of(inputs[i].x).ravel()[mask].min()) for i, mask in masks.items())
    together = {i: mask * 1.0 for i, mask in masks.items()}
    mixed = [{i: mask * rng.standard_normal(mask.shape) for i, mask in masks.items()} for _ in range(3)]
    parts = []
    for direction in (together, *mixed):
        along = np.sum([gradients[i] @ vector for i, vector in direction.items()], axis=0)
        size = np.sum([np.abs(gradients[i]) @ np.abs(vector) for i, vector in direction.items()], axis=0)
        parts.append(differences.compare(direction, scale, along, EPS * size))
    found = SlopeComparison.joined(parts)
    if found.wrong.any():
        name = " and ".join(inputs[i].name for i in masks)
        cause = "shares at a tie that do not add up: elements that are equal have to get all of g between them"
        enter_fault(report, found, differences.cotangents, name, [f"{name}, all elements at kinks"] * 4, cause)


def check_vjp_use(function: FunctionUnderTest, rng: Any) -> list[str]:
    """The first thing that is wrong with the VJPs apart from their values, found by calling them in several ways."""
    outputs = function.outputs()
    g, h = (function.cotangents(outputs, random_nonzero(rng, (sum(y.numel() for y in outputs),))) for _ in range(2))
    vjp = lambda cotangents: function.vjp(outputs, cotangents, retain_graph=True)
    given = copies(g)
    first = vjp(g)
    dg = copies(first)
    if any(to_host(each).tobytes() != copy.tobytes() for each, copy in zip(g, given)):
        return ["a VJP writes to its cotangent g, which other VJPs get, too: compute a new array"]
    dh = copies(vjp(h))
    if any(to_host(dx).tobytes() != copy.tobytes() for dx, copy in zip(first, dg)):
        return ["a VJP returns the same buffer at every call, so an earlier gradient changes: return a new array"]
    not_linear = "a VJP is not linear in the cotangent g: "
    for c in (2.0**20, 2.0**-20, -1.0):
        scaled = [dx / c for dx in copies(vjp([each * c for each in g]))]
        if any(not equal(a, b) for a, b in zip(scaled, dg) if np.isfinite(b * c).all()):
            return [
                not_linear + f"for {c:g} g it does not return {c:g} times the gradient (clipped? an absolute value?)"
            ]
    both = [a + b for a, b in zip(dg, dh)]
    if any(not equal(a, b) for a, b in zip(copies(vjp([a + b for a, b in zip(g, h)])), both)):
        return [not_linear + "that of g + h is not the sum of those of g and h"]
    try:
        strided = copies(vjp([not_contiguous(each) for each in g]))
    except (ValueError, AttributeError, TypeError) as error:
        return [f"a VJP needs a contiguous cotangent g: {error}"]
    if not all(map(equal, strided, dg)):
        return ["a VJP needs a contiguous cotangent g: with another layout it returns another gradient"]
    return []


def copies(tensors: Iterable[Tensor]) -> list[Host]:
    """Copies of these Tensors on the host."""
    return [to_host(each).copy() for each in tensors]


def equal(a: Host, b: Host) -> bool:
    """Whether two gradients are equal up to the rounding of cotangents near 1; true where b is not finite."""
    size = float(np.max(np.abs(b), initial=0.0))
    return not math.isfinite(size) or bool(np.allclose(a, b, rtol=1e-6, atol=1e-9 * size + 64 * EPS))


def not_contiguous(g: Tensor) -> Tensor:
    """g with gaps in memory between its elements."""
    return Tensor(backend.namespace(g.array).stack([g.array, g.array], axis=-1)[..., 0])


def check_float32(function: Callable[..., Any], inputs: tuple[Any, ...], under_test: FunctionUnderTest) -> list[str]:
    """Whether backward also runs in float32, if that is what the inputs are."""
    single = [isinstance(x, Tensor) and x.dtype == backend.float32 for x in inputs]
    floating = [isinstance(x, Tensor) and x.dtype.kind == "f" for x in inputs]
    if not any(single) or single != floating or any("parameter" in checked.name for checked in under_test.inputs):
        return []
    args = [x.detach().clone().requires_grad_() if is_single else x for x, is_single in zip(inputs, single)]
    copy = FunctionUnderTest(function, args, [CheckedInput("", x) for x, is_single in zip(args, single) if is_single])
    try:
        outputs = copy.outputs()
        copy.vjp(outputs, copy.cotangents(outputs, np.ones(sum(y.numel() for y in outputs))))
    except RuntimeError as error:
        if "its VJP for argument" not in str(error):
            raise
        return [f"backward fails in float32: {error}\n    likely cause: a float64 constant in the VJP"]
    return []
