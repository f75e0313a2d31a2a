"""gradcheck fails for wrong gradients, and its report names the likely cause."""

import math

import numpy as np
import pytest
from helpers.planted_ops import check, planted_op, random_tensor, relu, softmax, square

import minigrad as mg
from minigrad.testing._diagnosis import explain_factor

FAULTS = {
    "zero": (planted_op(square, lambda xp, x, g: 0 * g), [random_tensor(3, 4)], "zero"),
    "zero softmax": (planted_op(softmax, lambda xp, x, g: 0 * g), [random_tensor(3, 4)], "zero"),
    "cut graph": (lambda x: x.detach() * 2, [random_tensor(3)], "the graph is cut"),
    "sign": (planted_op(square, lambda xp, x, g: -2 * x * g), [random_tensor(3, 4)], "the sign: a minus"),
    "sign of some": (
        planted_op(lambda xp, x: xp.abs(x), lambda xp, x, g: 1 * g),
        [random_tensor(3, 4)],
        "the sign of some elements",
    ),
    "one percent": (planted_op(square, lambda xp, x, g: 2.02 * x * g), [random_tensor(3, 4)], "a factor 1.01"),
    "one in a million": (
        planted_op(square, lambda xp, x, g: 2.00001 * x * g),
        [random_tensor(3, 4)],
        "a factor 1.000005",
    ),
    "factor 2": (planted_op(square, lambda xp, x, g: 4 * x * g), [random_tensor(3, 5)], "a factor 2: counted twice"),
    "half": (planted_op(square, lambda xp, x, g: x * g), [random_tensor(3, 5)], "a factor 0.5: a 2 forgotten"),
    "sum as mean": (
        planted_op(lambda xp, x: x.sum(axis=0), lambda xp, x, g: xp.broadcast_to(g / 3, x.shape)),
        [random_tensor(3, 5)],
        "divided by N = 3, axis 0 of the input",
    ),
    "mean as sum": (
        planted_op(lambda xp, x: x.mean(axis=0), lambda xp, x, g: xp.broadcast_to(g, x.shape)),
        [random_tensor(3, 5)],
        "not divided by N = 3",
    ),
    "sign and factor": (
        planted_op(square, lambda xp, x, g: -x * g),
        [random_tensor(3, 5)],
        "the sign, and a factor 0.5",
    ),
    "detached factor": (lambda x: x * x.detach(), [random_tensor(3, 5)], "used twice and counted once"),
    "ignored g": (planted_op(square, lambda xp, x, g: 2 * x), [random_tensor(3, 4)], "not linear in the cotangent"),
    "g squared": (
        planted_op(square, lambda xp, x, g: 2 * x * g * g),
        [random_tensor(3, 4)],
        "not linear in the cotangent g",
    ),
    "G W": (
        planted_op(lambda xp, x, w: x @ w, lambda xp, x, w, g: g @ w, lambda xp, x, w, g: x.T @ g),
        [random_tensor(4, 4), random_tensor(4, 4)],
        "as G W instead of G Wᵀ",
    ),
    "Gᵀ X": (
        planted_op(lambda xp, x, w: x @ w, lambda xp, x, w, g: g @ w.T, lambda xp, x, w, g: g.T @ x),
        [random_tensor(4, 4), random_tensor(4, 4)],
        "a transpose",
    ),
    "axes of a cube": (
        planted_op(lambda xp, x: x.transpose(1, 2, 0), lambda xp, x, g: g.transpose(1, 2, 0)),
        [random_tensor(3, 3, 3)],
        "their axes are exchanged",
    ),
    "first row of a bias": (
        planted_op(lambda xp, x, b: x + b, lambda xp, x, b, g: g, lambda xp, x, b, g: g[0] * 1),
        [random_tensor(3, 4), random_tensor(4, seed=2)],
        "unsummed axis",
    ),
    "mean of a bias": (
        planted_op(lambda xp, x, b: x + b, lambda xp, x, b, g: g, lambda xp, x, b, g: g.mean(axis=0)),
        [random_tensor(3, 4), random_tensor(4, seed=2)],
        "unsummed axis",
    ),
    "bias of the wrong shape": (
        planted_op(lambda xp, x, b: x + b, lambda xp, x, b, g: g, lambda xp, x, b, g: g),
        [random_tensor(3, 4), random_tensor(4, seed=2)],
        "likely cause: an unsummed axis",
    ),
    "wrong dtype": (
        planted_op(square, lambda xp, x, g: (2 * x * g).astype("float32")),
        [random_tensor(3)],
        "or a cast",
    ),
    "forgotten mask": (planted_op(relu, lambda xp, x, g: 1 * g), [random_tensor(3, 4)], "a forgotten mask"),
    "inverted mask": (planted_op(relu, lambda xp, x, g: g * (x < 0)), [random_tensor(3, 4)], "an inverted mask"),
    "shifted index": (
        planted_op(lambda xp, x: x[1:], lambda xp, x, g: xp.concatenate([g, 0 * g[:1]])),
        [random_tensor(4)],
        "as after a reshape or a shift",
    ),
    "elements left out": (
        planted_op(square, lambda xp, x, g: 2 * x * g * (xp.arange(12).reshape(3, 4) > 3)),
        [random_tensor(3, 4)],
        "elements left out",
    ),
    "softmax without its sum": (
        planted_op(softmax, lambda xp, x, g: g * softmax(xp, x)),
        [random_tensor(3, 4)],
        "a missing sum",
    ),
    "rounded": (
        planted_op(square, lambda xp, x, g: (2 * x * g).astype("float32").astype("float64")),
        [random_tensor(3, 4)],
        "rounding: a cast to float32",
    ),
    "stale": (planted_op(square, lambda xp, x, g: 2 * (x + 3) * g), [random_tensor(3, 4)], "none of the usual ones"),
    "nearly": (planted_op(square, lambda xp, x, g: (2 * x + 0.003 * x**2) * g), [random_tensor(3, 4)], "nearly right"),
    "nan": (planted_op(square, lambda xp, x, g: g * math.nan), [random_tensor(3)], "nan or inf in the VJP"),
    "large, sign": (planted_op(square, lambda xp, x, g: -2 * x * g), [random_tensor(40, 50)], "the sign"),
    "large, zero softmax": (
        planted_op(softmax, lambda xp, x, g: 0 * g),
        [random_tensor(40, 50)],
        "zero: the graph is cut",
    ),
    "large, forgotten mask": (planted_op(relu, lambda xp, x, g: 1 * g), [random_tensor(40, 50)], "a forgotten mask"),
    "large, one element of many": (
        planted_op(square, lambda xp, x, g: 2 * x * g * xp.where(x == x.max(), 1.5, 1.0)),
        [random_tensor(40, 50)],
        "d(outputs, mixed) / d(input 0",
    ),
    "sign beside zeros": (
        planted_op(relu, lambda xp, x, g: -g * (x > 0)),
        [random_tensor(3, 4)],
        "likely cause: the sign: a minus too many or too few",
    ),
    "small slopes": (
        planted_op(lambda xp, x: 1e-4 * x * x, lambda xp, x, g: 2.02e-4 * x * g),
        [random_tensor(3, 4)],
        "likely cause: a factor 1.01 everywhere",
    ),
    "large slopes": (
        planted_op(lambda xp, x: 1e3 * x * x, lambda xp, x, g: 1e3 * (2 * x + 0.003 * x**2) * g),
        [random_tensor(3, 4)],
        "likely cause: nearly right",
    ),
    "half off": (
        planted_op(square, lambda xp, x, g: (2 * x + 0.5 * x**2) * g),
        [random_tensor(3, 4)],
        "none of the usual ones",
    ),
    "small and half off": (
        planted_op(lambda xp, x: 1e-3 * x * x, lambda xp, x, g: 1e-3 * (2 * x + 0.5 * x**2) * g),
        [random_tensor(3, 4)],
        "none of the usual ones",
    ),
    "8 elements, 800 outputs": (
        planted_op(
            lambda xp, x: xp.broadcast_to(x * x, (100, 8)), lambda xp, x, g: g.sum(axis=0) * (2 * x + 0.003 * x**2)
        ),
        [random_tensor(8)],
        "nearly right",
    ),
    "600 elements, 1 output": (
        planted_op(lambda xp, x: (x * x).sum(), lambda xp, x, g: g * (2 * x + 0.003 * x**2)),
        [random_tensor(600)],
        "nearly right",
    ),
    "a matrix, 1 output": (
        planted_op(lambda xp, x: (x**3).sum(), lambda xp, x, g: g * 3 * (x * x).T),
        [random_tensor(3, 3)],
        "their axes are exchanged",
    ),
    "4 axes": (
        planted_op(lambda xp, x: (x**3).sum(), lambda xp, x, g: g * 3 * (x * x).transpose(3, 2, 1, 0)),
        [random_tensor(2, 2, 2, 2)],
        "their axes are exchanged",
    ),
    "a kink and a fault": (
        planted_op(lambda xp, x: xp.abs(x), lambda xp, x, g: g * xp.where(x == 0, 1.3, 1.0)),
        [mg.tensor([0.0, 1.0, -2.0], dtype="float64")],
        "none of the usual ones",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault_fails_with_likely_cause(name):
    function, inputs, cause = FAULTS[name]
    report = check(function, *inputs)
    assert not report
    assert "FAILED" in str(report)
    assert cause in str(report)


@pytest.mark.parametrize("seed", range(4))
def test_absolute_value_of_g_is_found_for_one_output(seed):
    function = planted_op(lambda xp, x: (x * x).sum(), lambda xp, x, g: 2 * x * abs(g))
    assert "not linear in the cotangent" in str(check(function, random_tensor(3), seed=seed))


def test_exchange_of_two_outputs_among_many_is_found():
    def exchanged(xp, x, g):
        return 2 * x * xp.concatenate([g[1:2], g[:1], g[2:]])

    assert not check(planted_op(square, exchanged), random_tensor(600))


TWICE = "counted twice"
PART = "divided by N = {0}, axis 0 of the input, or only one of {0} equal terms: an unsummed axis"
HALF = "a 2 forgotten, as in (x²)' = 2x, or a Tensor used twice and counted once"


@pytest.mark.parametrize(
    ("c", "x_shape", "y_shape", "explanation"),
    [
        (-1.0, (3,), (3,), "the sign: a minus too many or too few"),
        (1.5, (3, 5), (3, 5), "a factor 1.5 everywhere: an inner derivative?"),
        (-1.5, (3, 5), (1, 5), "the sign, and a factor 1.5 everywhere: an inner derivative?"),
        (2.0, (3, 5), (5,), f"a factor 2: {TWICE}"),
        (2.0000016, (3, 5), (5,), f"a factor 2.000002: {TWICE}"),
        (2.0, (3,), (2, 3), f"a factor 2: {TWICE}; or not divided by N = 2, axis 0 of an output, as for a mean"),
        (0.5, (3, 5), (5,), f"a factor 0.5: {HALF}"),
        (0.5, (2, 5), (5,), f"a factor 0.5: {HALF}; or {PART.format(2)}"),
        (3.0, (3, 5), (5,), "a factor 3: not divided by N = 3, axis 0 of the input, as for a mean"),
        (15.0, (3, 5), (), "a factor 15: not divided by N = 15, the number of elements of the input, as for a mean"),
        (-1 / 3, (3, 5), (5,), f"the sign, and a factor 0.3333333: {PART.format(3)}"),
    ],
)
def test_factor_is_explained_by_shapes(c, x_shape, y_shape, explanation):
    assert explain_factor(c, np.ones(x_shape), np.ones(y_shape).ravel(), [y_shape]) == explanation
