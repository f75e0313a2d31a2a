"""Which slip a wrong gradient looks like: each of the usual mistakes leaves its mark in the Jacobian."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from .. import backend
from ._cotangents import Cotangents
from ._finite_differences import Slopes
from ._function import Host

np = backend.numpy


def slip(found: Slopes, cotangents: Cotangents, x_shape: tuple[int, ...]) -> str:
    """The usual mistake that explains the analytic slopes beside the measured ones, in words."""
    a, n, bent = found.analytic, found.numeric, found.bent
    noise = 10 * np.where(np.isfinite(found.error), found.error, 0)

    def close(p: Host, q: Host) -> Host:
        return np.abs(p - q) <= 1e-6 * np.maximum(np.abs(p), np.abs(q)) + noise[: len(p)]

    def equal(p: Host, q: Host) -> bool:
        return p.shape == q.shape and np.allclose(p, q, rtol=1e-6, atol=noise.max())

    if not np.isfinite(n).all():
        return "no slip of the rule: the function is not finite near this input, the edge of its domain"
    if not np.isfinite(a).all():
        return "nan or inf in the rule: a division by 0, or the logarithm or root of 0"
    if not a.any():
        return "zero: the graph is cut (detach, no_grad, item), or a rule returns zeros"
    m = cotangents.alone
    if m and not close(cotangents.rows[-1:] @ a[:m], a[-1:]).all():
        if np.allclose(a, a[-1], rtol=1e-6, atol=noise.max()):
            return "the incoming gradient g was forgotten: the rule gives the same for every g"
        return "a rule that is not linear in the incoming gradient g"
    if close(a, n).all():
        return "rounding: a cast to float32 on the way"
    c = float((a * n).sum() / max((n * n).sum(), 1e-300))
    if c and close(a, c * n).all():
        return factor(c, x_shape, cotangents.shapes)
    if close(np.abs(a), np.abs(n)).all():
        return "the sign of some elements, as in the rule of |x|, a difference, or an inverted condition"
    complete = m > 0 and a.shape[1] == math.prod(x_shape)  # a row for each output, a column for each element
    if complete and len(x_shape) <= 4:
        mixed = n[-1].reshape(x_shape)
        if any(equal(a[-1].reshape(x_shape), mixed.transpose(o)) for o in itertools.permutations(range(mixed.ndim))):
            return "a transpose: these are the right numbers with their axes exchanged"
    a, n, noise, bent = (each[cotangents.counted] for each in (a, n, noise, bent))  # the Jacobian, without the mixture
    wrong = ~close(a, n)
    if (wrong & bent).any() and not (wrong & ~bent).any():
        return "a value at a kink that is no subgradient: it has to lie between the slopes from left and right"
    if complete and a.shape == a.T.shape:
        beside = ~np.eye(m, dtype=bool)
        if equal(a, n.T):
            return "a transpose: the Jacobian itself where its transpose belongs, as G W for G Wᵀ"
        if not a[beside].any() and (wrong & beside).any() and n.diagonal().all():
            return "a missing sum: only dyᵢ/dxᵢ is there, but each output depends on several inputs, as in softmax"
    there = np.abs(n) > noise
    extra, missing = wrong & ~there, wrong & (np.abs(a) <= noise)
    if wrong.any() and (extra | missing)[wrong].all():
        if not missing.any():
            return "a forgotten mask: a gradient flows where the slope is 0"
        if extra.any():
            return "a mask that is inverted, or an index that is shifted: the gradient goes to the wrong elements"
        whole_rows = (missing == there).all(axis=1) | ~missing.any(axis=1)
        if m and whole_rows.all() and (there & ~missing).any(axis=0)[missing.any(axis=0)].all():
            return "an unsummed axis: only some of the outputs are counted, those of one row or slice"
        return "elements left out: a mask too strict, a slice too short, or an index used twice and counted once"
    if wrong.any() and (np.abs(a - n) < 0.05 * np.maximum(np.abs(a), np.abs(n)))[wrong].all():
        return "nearly right: a small term is missing, or a constant is a little off"
    return (
        "none of the usual ones (sign, factor, transpose, mask, sum): compare the formula term by term; a stale input?"
    )


def factor(c: float, x_shape: tuple[int, ...], y_shapes: Sequence[tuple[int, ...]]) -> str:
    """Why a gradient may be c times what it should be."""

    def is_(value: float) -> bool:
        return abs(abs(c) - value) <= 1e-6 * value

    if is_(1.0):
        return "the sign: a minus too many or too few"
    lengths = {math.prod(x_shape): "the number of elements of the input"}
    for owner, shape in [*(("an output", shape) for shape in y_shapes), ("the input", x_shape)]:
        lengths.update({length: f"axis {i} of {owner}" for i, length in enumerate(shape)})
    why = ["counted twice"] * is_(2.0)
    why += ["a 2 forgotten, as in (x²)' = 2x, or a Tensor used twice and counted once"] * is_(0.5)
    for length, name in lengths.items():
        if length > 1 and is_(length):
            why.append(f"not divided by N = {length}, {name}, as a mean is")
        if length > 1 and is_(1 / length):
            why.append(f"divided by N = {length}, {name}, or one of {length} equal parts taken: an unsummed axis")
    sign = "the sign, and " if c < 0 else ""
    return f"{sign}a factor {abs(c):.6g}" + (f": {'; or '.join(why)}" if why else " everywhere")
