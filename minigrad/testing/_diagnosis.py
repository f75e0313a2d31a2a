"""The likely cause of a wrong gradient: typical mistakes leave recognisable patterns in the Jacobian."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .. import backend
from ._cotangents import Cotangents
from ._finite_differences import FiniteDifferences, SlopeComparison
from ._function import CheckedInput, Host

np = backend.numpy

UNKNOWN = "none of the usual ones (sign, factor, transpose, mask, sum, exponent): compare the formula term by term"


@dataclass
class Evidence:
    """What is known of a wrong gradient: the Jacobian a that the VJPs imply, and n, measured."""

    a: Host  # (rows, directions)
    n: Host
    noise: Host
    is_kink: Host
    cotangents: Cotangents
    complete: bool  # a row for each output, a column for each element
    x: Host
    y: Host
    others: list[Host]  # the other checked inputs

    def close(self, p: Host, q: Host) -> Host:
        """Where p and q agree."""
        return np.abs(p - q) <= 1e-6 * np.maximum(np.abs(p), np.abs(q)) + self.noise[: len(p)]

    def equal(self, p: Host, q: Host) -> bool:
        """Whether p and q have one shape and agree everywhere."""
        return p.shape == q.shape and bool(np.allclose(p, q, rtol=1e-6, atol=float(self.noise.max(initial=0))))

    def jacobian(self) -> tuple[Host, Host, Host]:
        """a, n and noise without the rows of mixtures."""
        counted = self.cotangents.counted
        return self.a[counted], self.n[counted], self.noise[counted]

    def diagonals(self) -> tuple[Host, Host] | None:
        """The diagonals of a and n, if the function is elementwise."""
        a, n, noise = self.jacobian()
        if not self.complete or a.shape[0] != a.shape[1] or len(a) != self.x.size:
            return None
        beside = ~np.eye(len(a), dtype=bool)
        if (np.abs(n) > noise)[beside].any() or a[beside].any():
            return None
        return a.diagonal(), n.diagonal()


def diagnose(
    found: SlopeComparison,
    differences: FiniteDifferences,
    checked: CheckedInput,
    elements: Sequence[int],
    complete: bool,
) -> str:
    """The typical mistake that explains the gradients beside the measured slopes, in words.

    Args:
        found: the comparison.
        differences: how it was made.
        checked: the input.
        elements: the columns of `found` that stand for one element.
        complete: whether each output has a row, and each element a column.
    """
    columns = elements or slice(None)
    noise = 10 * np.where(np.isfinite(found.error), found.error, 0)
    evidence = Evidence(
        found.gradient[:, columns],
        found.slope[:, columns],
        noise[:, columns],
        found.is_kink[:, columns],
        differences.cotangents,
        complete,
        checked.x,
        differences.f0[: differences.cotangents.dense],
        [each.x for each in differences.function.inputs if each is not checked],
    )
    return likely_cause(evidence)


def likely_cause(evidence: Evidence) -> str:
    """The first hypothesis that fits, in words."""
    for hypothesis in HYPOTHESES:
        for cause in hypothesis(evidence):
            return cause
    return UNKNOWN


def not_finite(e: Evidence) -> Iterator[str]:
    """The function or the VJP gives nan or inf."""
    if not np.isfinite(e.n).all():
        yield "not the VJP: the function is not finite near this input, at the edge of its domain"
    elif not np.isfinite(e.a).all():
        yield "nan or inf in the VJP: a division by 0, or the logarithm or root of 0"


def zero(e: Evidence) -> Iterator[str]:
    """No gradient at all, or a gradient where every slope is zero."""
    if not e.a.any():
        yield "zero: the graph is cut (detach, no_grad, item), or a VJP returns zeros"
    elif not e.jacobian()[1].any():
        yield "not zero: the function is constant around this input, as floor, round and comparisons are"


def not_linear(e: Evidence) -> Iterator[str]:
    """The gradient of a mixture of outputs is not the mixture of the gradients."""
    m = e.cotangents.dense
    if m and not e.close(e.cotangents.rows[-1:] @ e.a[:m], e.a[-1:]).all():
        if np.allclose(e.a, e.a[-1], rtol=1e-6, atol=float(e.noise.max(initial=0))):
            yield "the VJP ignores the incoming gradient g: it returns the same for every g"
        else:
            yield "a VJP that is not linear in the incoming gradient g"


def rounding(e: Evidence) -> Iterator[str]:
    """Only the last digits differ."""
    if e.close(e.a, e.n).all():
        yield "rounding: a cast to float32 on the way"


def constant_factor(e: Evidence) -> Iterator[str]:
    """a = c n."""
    c = float((e.a * e.n).sum() / max((e.n * e.n).sum(), 1e-300))
    if c and e.close(e.a, c * e.n).all():
        yield explain_factor(c, e.x, e.y, e.cotangents.shapes)


def some_signs(e: Evidence) -> Iterator[str]:
    """|a| = |n|."""
    if e.close(np.abs(e.a), np.abs(e.n)).all():
        yield "the sign of some elements, as in the VJP of |x|, a difference, or an inverted condition"


def wrong_variable(e: Evidence) -> Iterator[str]:
    """An elementwise VJP that takes the input for the output, or one argument for the other."""
    diagonals = e.diagonals()
    if diagonals is None:
        return
    a, n = diagonals
    x, y = e.x.ravel(), e.y
    close = lambda p, q: bool(np.allclose(p, q, rtol=1e-6, atol=0))
    for formula in (lambda u: u, lambda u: u * (1 - u), lambda u: 1 - u * u, lambda u: 1 / u, lambda u: 1 / (2 * u)):
        if close(n, formula(y)) and close(a, formula(x)):
            yield "the input is used where the output belongs: the derivative is a function of y, not of x"
        if close(n, formula(x)) and close(a, formula(y)):
            yield "the output is used where the input belongs: the derivative is a function of x, not of y"
    for other in e.others:
        if other.shape == e.x.shape:
            for name, formula in (("", lambda u: u), ("1/", lambda u: 1 / u)):
                if close(n, formula(other.ravel())) and close(np.abs(a), np.abs(formula(x))):
                    yield f"the arguments are exchanged: the VJP uses {name}this input where the other one belongs"


def product_rule(e: Evidence) -> Iterator[str]:
    """f = x h(x): one of the two terms of h + x h' is missing."""
    diagonals = e.diagonals()
    if diagonals is None:
        return
    a, n = diagonals
    h = e.y / e.x.ravel()
    for term in (h, n - h):
        if np.abs(term).any() and np.allclose(a, term, rtol=1e-5, atol=1e-12 * np.abs(n).max()):
            yield "a term is missing: the product rule gives two, f'·h + f·h', and only one is there"


def missing_power(e: Evidence) -> Iterator[str]:
    """n = c a uᵏ elementwise, with u the input or the output."""
    diagonals = e.diagonals()
    if diagonals is None:
        return
    a, n = diagonals
    if not (a.all() and n.all()) or len(a) < 2:
        return
    ratio = n / a
    for name, u in (("x", e.x.ravel()), ("y", e.y)):
        for power in (1, 2, -1, -2, 0.5, -0.5):
            with np.errstate(all="ignore"):
                c = ratio / (u**power if power == int(power) else np.abs(u) ** power)
            if np.isfinite(c).all() and np.allclose(c, c[0], rtol=1e-5) and len({round(float(v), 9) for v in u}) > 1:
                by = f" (and the factor {c[0]:.6g})" if not np.isclose(c[0], 1, rtol=1e-5) else ""
                verb = "lacks the factor" if power > 0 else "has a factor too many:"
                yield f"the exponent: the derivative {verb} {name}^{abs(power):g}{by}, as 3x for (x³)' = 3x²"
    if np.allclose((1 - a) ** 2, 1 - n, rtol=1e-5):
        yield "a square is missing, as 1 - y for (tanh x)' = 1 - y²"


def transposed(e: Evidence) -> Iterator[str]:
    """The right numbers with their axes exchanged, or a factor of a matrix product transposed."""
    shape = e.x.shape
    if not e.complete or len(shape) > 4:
        return
    mixed, given = e.n[-1].reshape(shape), e.a[-1].reshape(shape)
    orders = [order for order in itertools.permutations(range(len(shape))) if order != tuple(range(len(shape)))]
    if any(e.equal(given, mixed.transpose(order)) for order in orders):
        yield "a transpose: these are the right numbers, but their axes are exchanged"
    a, n, _ = e.jacobian()
    if a.shape == a.T.shape and e.equal(a, n.T):
        yield "a transpose: the Jacobian itself where its transpose belongs, as G W instead of G Wᵀ"
    if len(shape) == 2 and len(e.cotangents.shapes) == 1 and len(e.cotangents.shapes[0]) == 2:
        g = e.cotangents.rows[-1].reshape(e.cotangents.shapes[0])
        for other in e.others:
            for p, q in itertools.permutations(((other, "the other argument"), (g, "G"))):
                for name, product in transposed_products(p[0], q[0]):
                    if product.shape == given.shape and np.allclose(product, given, rtol=1e-6):
                        yield f"a transpose in the matrix product: {name.format(p[1], q[1])} is computed"


def transposed_products(p: Host, q: Host) -> Iterator[tuple[str, Host]]:
    """The products of two matrices, each transposed or not, that exist."""
    for (left, l_name), (right, r_name) in itertools.product(((p, "{}"), (p.T, "{}ᵀ")), ((q, "{}"), (q.T, "{}ᵀ"))):
        if left.ndim == right.ndim == 2 and left.shape[1] == right.shape[0]:
            yield f"{l_name} @ {r_name}", left @ right


def kink(e: Evidence) -> Iterator[str]:
    """Wrong at kinks only."""
    wrong = ~e.close(e.a, e.n)
    if (wrong & e.is_kink).any() and not (wrong & ~e.is_kink).any():
        yield "a value at a kink that is not a subgradient: it has to lie between the slopes from left and right"


def missing_sum(e: Evidence) -> Iterator[str]:
    """Only the diagonal of the Jacobian, or a sum over the wrong axis."""
    a, n, noise = e.jacobian()
    if not e.complete or a.shape != a.T.shape:
        return
    beside = ~np.eye(len(a), dtype=bool)
    wrong = ~e.close(a, n)
    if not a[beside].any() and (wrong & beside).any() and n.diagonal().all():
        yield "a missing sum: only dyᵢ/dxᵢ is there, but each output depends on several inputs, as in softmax"
    if len(e.x.shape) == 2 and e.cotangents.shapes[0] == e.x.shape:
        rows, columns = (np.indices(e.x.shape)[axis].ravel() for axis in (0, 1))
        one_row, one_column = rows[:, None] == rows, columns[:, None] == columns
        needs, has = np.abs(n) > noise, np.abs(a) > noise
        if not (needs & ~one_row).any() and not (has & ~one_column).any() and (has & ~one_row).any():
            yield "a sum over the wrong axis: each row of the output depends on its own row, but the VJP sums columns"
        if not (needs & ~one_column).any() and not (has & ~one_row).any() and (has & ~one_column).any():
            yield "a sum over the wrong axis: each column of the output depends on its own column, the VJP sums rows"


def flipped(e: Evidence) -> Iterator[str]:
    """Each row of the Jacobian reversed within its support, or in another order."""
    a, n, noise = e.jacobian()
    if not e.complete or len(a) < 2:
        return
    supports = [(np.flatnonzero(np.abs(row) > limit), given) for row, given, limit in zip(n, a, noise)]
    alike = len({len(s) for s, _ in supports}) == 1 and len(supports[0][0]) > 1
    if alike and all(e.equal(given[s], n[i][s][::-1]) for i, (s, given) in enumerate(supports)):
        yield "the kernel is not flipped: the gradient of a correlation is a convolution, and the other way round"
    sorted_alike = lambda p, q: np.allclose(np.sort(p), np.sort(q), rtol=1e-6, atol=float(noise.max()))
    if all(map(sorted_alike, a.T, n.T)) or all(map(sorted_alike, a, n)):
        columns = {tuple(np.round(column, 9)) for column in n.T}
        if len(columns) == n.shape[1] and {tuple(np.round(column, 9)) for column in a.T} == columns:
            yield "the order of the elements: the right gradients at the wrong places, as after a reshape or a shift"


def mask(e: Evidence) -> Iterator[str]:
    """Gradients where there should be none, or none where there should be some."""
    a, n, noise = e.jacobian()
    wrong = ~e.close(a, n)
    there = np.abs(n) > noise
    extra, missing = wrong & ~there, wrong & (np.abs(a) <= noise)
    if not wrong.any() or not (extra | missing)[wrong].all():
        return
    if not missing.any():
        yield "a forgotten mask: a gradient flows where the slope is 0"
    elif extra.any():
        yield "an inverted mask, or a shifted index: the gradient goes to the wrong elements"
    else:
        whole_rows = (missing == there).all(axis=1) | ~missing.any(axis=1)
        if e.cotangents.dense and whole_rows.all() and (there & ~missing).any(axis=0)[missing.any(axis=0)].all():
            yield "an unsummed axis: only some of the outputs are counted, those of one row or slice"
        yield "elements left out: a mask too strict, a slice too short, or an index used twice and counted once"


def nearly(e: Evidence) -> Iterator[str]:
    """Off by a few percent."""
    a, n, _ = e.jacobian()
    wrong = ~e.close(a, n)
    if wrong.any() and (np.abs(a - n) < 0.05 * np.maximum(np.abs(a), np.abs(n)))[wrong].all():
        yield "nearly right: a small term is missing, or a constant is a little off"


HYPOTHESES: list[Callable[[Evidence], Iterator[str]]] = [
    *(not_finite, zero, not_linear, rounding, constant_factor, some_signs, kink, wrong_variable, product_rule),
    *(missing_power, transposed, missing_sum, flipped, mask, nearly),
]


def explain_factor(c: float, x: Host, y: Host, y_shapes: Sequence[tuple[int, ...]]) -> str:
    """Why a gradient may be c times the right one."""

    def is_(value: Any) -> bool:
        return bool(abs(abs(c) - value) <= 1e-6 * value)

    if is_(1.0):
        return "the sign: a minus too many or too few"
    lengths = {math.prod(x.shape): "the number of elements of the input"}
    for owner, shape in [*(("an output", shape) for shape in y_shapes), ("the input", x.shape)]:
        lengths.update({length: f"axis {i} of {owner}" for i, length in enumerate(shape)})
        lengths.setdefault(math.prod(shape[:-1]), f"the number of rows of {owner}")
    why = ["counted twice"] * is_(2.0)
    why += ["a 2 forgotten, as in (x²)' = 2x, or a Tensor used twice and counted once"] * is_(0.5)
    for length, name in lengths.items():
        if length > 1 and is_(length):
            why.append(f"not divided by N = {length}, {name}, as for a mean")
        if length > 1 and is_(1 / length):
            why.append(f"divided by N = {length}, {name}, or only one of {length} equal terms: an unsummed axis")
    if y.size == 1 and y.all() and is_(abs(float(y[0]))) and not why:
        why.append("not divided by the output, as the gradient of a norm or a root is")
    if not why:
        why += [
            f"the inner derivative {name} of the chain rule is missing" for name, value in INNER.items() if is_(value)
        ]
    sign = "the sign, and " if c < 0 else ""
    return f"{sign}a factor {abs(c):.7g}" + (f": {'; or '.join(why)}" if why else " everywhere: an inner derivative?")


INNER = {"π/180": 180 / math.pi, "180/π": math.pi / 180, "2π": 1 / (2 * math.pi), "ln 2": 1 / math.log(2)}
INNER |= {"ln 10": 1 / math.log(10), "1/ln 2": math.log(2), "1/ln 10": math.log(10)}
