"""Typical mistakes in VJPs, each in one op of the small engine, and words of the cause that the report has to name.

MISTAKES[name] = (op, rule, requirement, words).
"""

from __future__ import annotations

import numpy as np
from helpers.small_engine import RULES, softmax, spread


def vjps(op, *changed):
    """The rule of an op with other VJPs: functions of g, the output and the arguments; None keeps one."""

    def rule(*arguments):
        y, *right = RULES[op](*arguments)
        wrong = [new and (lambda g, new=new: new(g, y, *arguments)) for new in changed]
        return y, *(new or old for new, old in zip(wrong, right))

    return rule


NUMBERS, FUNCTIONS = "scalars/ops of numbers", "scalars/functions of numbers"
ELEMENTWISE, REDUCTIONS, SHAPES = "arrays/elementwise ops", "arrays/reductions", "arrays/shapes"
SOFTMAX, LOSSES, LINEAR, MATMUL = "network/softmax", "network/losses", "network/linear", "network/matmul"

MISTAKES = {
    "sigmoid: x (1 - x)": ("sigmoid", vjps("sigmoid", lambda g, y, x: g * x * (1 - x)), FUNCTIONS, "the input is used"),
    "tanh: 1 - y": ("tanh", vjps("tanh", lambda g, y, x: g * (1 - y)), FUNCTIONS, "a square is missing"),
    "exp: g x": ("exp", vjps("exp", lambda g, y, x: g * x), FUNCTIONS, "the input is used where the output belongs"),
    "sqrt: g / y": ("sqrt", vjps("sqrt", lambda g, y, x: g / y), FUNCTIONS, "a factor 2"),
    "log: g x": ("log", vjps("log", lambda g, y, x: g * x), FUNCTIONS, "the exponent"),
    "x ** p: p x": ("pow", vjps("pow", lambda g, y, x, p: g * p * x), NUMBERS, "the exponent"),
    "a b: exchanged": (
        *("mul", vjps("mul", lambda g, y, a, b: g * a, lambda g, y, a, b: g * b)),
        *(NUMBERS, "the arguments are exchanged"),
    ),
    "a - b: g": ("sub", vjps("sub", None, lambda g, y, a, b: g * 1), NUMBERS, "the sign"),
    "a / b: -g / b": ("div", vjps("div", None, lambda g, y, a, b: -g / b), NUMBERS, "the exponent"),
    "g ignored": ("exp", vjps("exp", lambda g, y, x: y), ELEMENTWISE, "ignores the incoming gradient"),
    "relu: x < 0": ("relu", vjps("relu", lambda g, y, x: g * (x < 0)), ELEMENTWISE, "an inverted mask"),
    "relu: g": ("relu", vjps("relu", lambda g, y, x: g * 1), ELEMENTWISE, "a forgotten mask"),
    "clip: g": ("clip", vjps("clip", lambda g, y, x, low, high: g * 1), ELEMENTWISE, "a forgotten mask"),
    "abs: g": ("abs", vjps("abs", lambda g, y, x: g * 1), ELEMENTWISE, "the sign of some elements"),
    "matmul: dW = X G": (
        *("matmul", vjps("matmul", None, lambda g, y, a, b: a @ g if a.shape[0] == a.shape[1] else a.T @ g)),
        *(MATMUL, "a transpose"),
    ),
    "bias: the mean over the batch": (
        *("linear", vjps("linear", None, None, lambda g, y, x, w, b: g.mean(tuple(range(g.ndim - 1))))),
        *(LINEAR, "divided by N"),
    ),
    "bias: one row": (
        *("linear", vjps("linear", None, None, lambda g, y, x, w, b: g[(0,) * (g.ndim - 1)])),
        *(LINEAR, "an unsummed axis"),
    ),
    "mean: g": (
        *("mean", vjps("mean", lambda g, y, x, dim, keep: spread(g, x, dim, keep) * 1)),
        *(REDUCTIONS, "not divided by N"),
    ),
    "max: the mask of the min": (
        *("amax", vjps("amax", lambda g, y, x, dim, keep: spread(g, x, dim, keep) * (x == x.min(dim, keepdims=True)))),
        *(REDUCTIONS, "an inverted mask"),
    ),
    "softmax: the diagonal": (
        "softmax",
        vjps("softmax", lambda g, y, x, dim: g * y * (1 - y)),
        SOFTMAX,
        "a missing sum",
    ),
    "softmax: the other axis": (
        *("softmax", vjps("softmax", lambda g, y, x, d: y * (g - (g * y).sum((d + 1) % x.ndim, keepdims=True)))),
        *(SOFTMAX, "a sum over the wrong axis"),
    ),
    "log_softmax: g - y g": (
        *("log_softmax", vjps("log_softmax", lambda g, y, x, dim: g - np.exp(y) * g)),
        *(SOFTMAX, "a missing sum"),
    ),
    "cross-entropy: not / N": (
        *("cross_entropy", vjps("cross_entropy", lambda g, y, x, t: g * (softmax(x, 1) - np.eye(x.shape[1])[t]))),
        *(LOSSES, "not divided by N"),
    ),
    "mse: the 2 forgotten": (
        *("mse_loss", vjps("mse_loss", *(lambda g, y, a, b, s=s: s * g * (a - b) / a.size for s in (1, -1)))),
        *(LOSSES, "a 2 forgotten"),
    ),
    "transpose: g, of a square": (
        *("transpose", vjps("transpose", lambda g, y, x, a, b: g * 1 if g.shape == x.shape else g.swapaxes(a, b))),
        *(SHAPES, "a transpose"),
    ),
    "a slice: shifted": (
        *("getitem", vjps("getitem", lambda g, y, x, index: np.roll(RULES["getitem"](x, index)[1](g), -1, 0))),
        *("arrays/indexing", "a shifted index"),
    ),
    "where: exchanged": (
        *("where", vjps("where", lambda g, y, a, b, c: g * ~c, lambda g, y, a, b, c: g * c)),
        *("arrays/broadcasting", "an inverted mask"),
    ),
}
