"""The checks of the level "numbers": extremes, kinks and ties, nan, float32."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from hypothesis import strategies as st

from ... import backend
from ..formulas import Host
from .adapter import Engine
from .mismatch import Mismatch, raised
from .op_cases import OP_CASES, Draw, written
from .op_check import engine_op, run

np = backend.numpy
INF, NAN = math.inf, math.nan


class Extreme(NamedTuple):
    """An op at a point where a naive formula fails, with the right value and the right gradient of each array.

    A number stands for all elements. An interval (low, high) for a gradient: any subgradient is right.
    """

    op: str
    arrays: list[Any]
    value: Any
    gradients: list[Any]
    options: Mapping[str, Any] = MappingProxyType({})
    cause: str = ""


ALL = {"dim": None, "keepdim": False}
OVERFLOW = "eˣ overflows: subtract the maximum first, or use the formula for the other sign"
SUBGRADIENT = "at a kink the gradient has to be a subgradient: between the slopes from left and right"
HIDDEN = "nan is replaced by a number, which hides a diverging loss: compare so that nan stays nan"

EXTREMES: dict[str, list[Extreme]] = {
    "sigmoid": [
        Extreme("sigmoid", [1000.0], 1, [0], cause=OVERFLOW),
        Extreme("sigmoid", [-1000.0], 0, [0], cause=OVERFLOW),
        Extreme("sigmoid", [-40.0], 4.248354255291589e-18, [4.248354255291589e-18], cause="1/2 + tanh(x/2)/2 cancels"),
    ],
    "tanh": [
        Extreme("tanh", [1000.0], 1, [0], cause=OVERFLOW),
        Extreme("tanh", [-1000.0], -1, [0], cause=OVERFLOW),
        Extreme("tanh", [1e-4], 9.999999966666667e-05, [0.99999999], cause="tanh from eˣ loses digits near 0"),
    ],
    "exp": [Extreme("exp", [-1000.0], 0, [0]), Extreme("exp", [-INF], 0, [0])],
    "log": [Extreme("log", [1e-30], -69.07755278982137, [1e30], cause="an ε is added to the argument of log")],
    "softplus": [
        Extreme("softplus", [1000.0], 1000, [1], cause=OVERFLOW),
        Extreme("softplus", [-1000.0], 0, [0], cause=OVERFLOW),
    ],
    "softmax": [
        Extreme("softmax", [[[1000.0, 0.0]]], [[1, 0]], [0], {"dim": -1}, OVERFLOW),
        Extreme("softmax", [[[-1000.0, -1000.0]]], [[0.5, 0.5]], [[[-0.25, 0.25]]], {"dim": -1}, "0/0: " + OVERFLOW),
        Extreme("softmax", [[[0.0, -INF, 0.0]]], [[0.5, 0, 0.5]], [[[-0.25, 0, 0.25]]], {"dim": -1}, "masked -inf"),
    ],
    "log_softmax": [
        Extreme("log_softmax", [[[1000.0, 0.0]]], [[0, -1000]], [[[-2, 2]]], {"dim": -1}, OVERFLOW),
    ],
    "logsumexp": [
        Extreme("logsumexp", [[1000.0, 0.0]], 1000, [[1, 0]], {"dim": 0, "keepdim": False}, OVERFLOW),
    ],
    "cross_entropy": [
        Extreme(
            *("cross_entropy", [[[1e4, 0.0], [0.0, -1e4]]], 10000, [[[0.5, -0.5], [0.5, -0.5]]]),
            *({"labels": np.array([1, 1])}, OVERFLOW),
        ),
        Extreme(
            *("cross_entropy", [[[0.0, -INF, 0.0]]], math.log(2), [[[-0.5, 0, 0.5]]], {"labels": np.array([0])}),
            "0 · -inf is nan: select the label's element, do not multiply by one-hot",
        ),
    ],
    "binary_cross_entropy_with_logits": [
        Extreme(
            *("binary_cross_entropy_with_logits", [[1000.0, -1000.0]], 0, [0], {"targets": np.array([1.0, 0.0])}),
            "0 · log 0 is nan: compute max(x, 0) - x t + log(1 + e^-|x|)",
        ),
        Extreme(
            *("binary_cross_entropy_with_logits", [[1000.0, 0.0]], 500 + math.log(2) / 2, [[0.5, 0.25]]),
            *({"targets": np.array([0.0, 0.0])}, "log(1 - σ(x)) loses the digits: compute it from the logits"),
        ),
    ],
    "div": [
        Extreme("div", [1e-200, 1e-180], 1e-20, [1e180, -1e160], cause="y² underflows: the gradient is -(x/y)/y"),
        Extreme("div", [1e200, 1e180], 1e20, [1e-180, -1e-160], cause="y² overflows: the gradient is -(x/y)/y"),
    ],
    "prod": [
        Extreme("prod", [[2.0, 0.0, 3.0]], 0, [[0, 6, 0]], ALL, "g · y / x is 0/0 for an element of 0"),
        Extreme("prod", [[0.0, 0.0, 3.0]], 0, [[0, 0, 0]], ALL, "g · y / x is 0/0 for an element of 0"),
    ],
    "pow": [
        Extreme("pow", [0.0], 1, [0], {"p": 0}, "p xᵖ⁻¹ is 0 · inf for p = 0"),
        Extreme("pow", [0.0], 0, [1], {"p": 1}),
        Extreme("pow", [0.0], 0, [0], {"p": 2}, "the formula with log x is nan at 0"),
        Extreme("pow", [-2.0], -8, [12], {"p": 3}, "the formula with log x is nan for x < 0"),
        Extreme("pow", [0.0], 0, [0], {"p": 2.5}, "the formula with log x is nan at 0"),
    ],
    "sqrt": [Extreme("sqrt", [1e-30], 1e-15, [5e14], cause="an ε is added to the argument")],
    "mean": [Extreme("mean", [[1e300, -1e300, 3.0]], 1, [1 / 3], ALL)],
}

KINKS: dict[str, list[Extreme]] = {
    "relu": [Extreme("relu", [0.0], 0, [(0, 1)], cause=SUBGRADIENT), Extreme("relu", [-0.0], 0, [(0, 1)])],
    "abs": [Extreme("abs", [0.0], 0, [(-1, 1)], cause=SUBGRADIENT)],
    "clip": [
        Extreme("clip", [-0.7], -0.7, [(0, 1)], {"min": -0.7, "max": 0.9}, SUBGRADIENT),
        Extreme("clip", [0.9], 0.9, [(0, 1)], {"min": -0.7, "max": 0.9}, SUBGRADIENT),
    ],
}
# Ties: (op, arrays, options). The gradients, over all arrays, add up to g, and none is negative.
TIES: dict[str, list[tuple[str, list[Any], dict[str, Any]]]] = {
    "maximum": [("maximum", [1.0, 1.0], {})],
    "minimum": [("minimum", [1.0, 1.0], {})],
    "amax": [("amax", [[2.0, 2.0, 1.0]], ALL), ("amax", [[3.0, 3.0, 3.0]], ALL)],
    "amin": [("amin", [[1.0, 2.0, 1.0]], ALL)],
}
NANS: dict[str, list[Extreme]] = {
    "relu": [Extreme("relu", [NAN], NAN, [None], cause=HIDDEN), Extreme("relu", [-INF], 0, [0])],
    "maximum": [
        Extreme("maximum", [NAN, 1.0], NAN, [None, None], cause=HIDDEN),
        Extreme("maximum", [1.0, NAN], NAN, [None, None], cause=HIDDEN),
    ],
    "amax": [Extreme("amax", [[1.0, NAN, 2.0]], NAN, [None], ALL, HIDDEN)],
    "sum": [Extreme("sum", [[1.0, NAN]], NAN, [None], ALL, HIDDEN)],
    "sigmoid": [Extreme("sigmoid", [NAN], NAN, [None], cause=HIDDEN)],
}


def cotangent(shape: tuple[int, ...]) -> Host:
    """1, 2, 2, ...: not the same for all outputs of a softmax."""
    g = np.full(shape, 2.0)
    g[(0,) * len(shape)] = 1.0
    return g


def at_points(points: dict[str, list[Extreme]]) -> Callable[[Engine, Draw, str], None]:
    """The check of one op at its points."""

    def check(engine: Engine, draw: Draw, op: str) -> None:
        engine_op(engine, op)
        every = [point for point in points[op] if not engine.scalar or all(np.ndim(x) == 0 for x in point.arrays)]
        if engine.dtype == "float32":
            every = [point for point in every if largest(point) < 1e30]
        if not every:
            raise NotImplementedError("arrays")
        check_point(engine, draw(st.sampled_from(every)))

    return check


def largest(point: Extreme) -> float:
    """The largest of |x| and 1/|x|."""
    values = np.abs(np.concatenate([np.ravel(x) for x in point.arrays]))
    values = values[np.isfinite(values) & (values > 0)]
    return float(max([1.0, *values, *(1 / values)]))


def call_of(engine: Engine, op: str, arrays: list[Any], options: Mapping[str, Any]) -> tuple[str, Host, list[Any]]:
    """A call as text, its value, its gradients."""
    function = engine_op(engine, op)
    text = ", ".join([*map(written, arrays), *(f"{name}={written(option)}" for name, option in options.items())])
    place = f"{op}({text})"
    compute = lambda *xs: OP_CASES[op].call(function, xs, tuple(options.values()))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value, grads = run(engine, compute, [np.array(x) for x in arrays], cotangent)
        except NotImplementedError:
            raise
        except Exception as error:
            raise Mismatch(place, "a value and gradients", raised(error)) from None
    return place, value, grads


def check_point(engine: Engine, point: Extreme) -> None:
    """Raise Mismatch where value or gradient are wrong at a point."""
    place, value, grads = call_of(engine, point.op, point.arrays, point.options)
    rtol = max(1e-6, 100 * engine.rtol)
    close = lambda got, expected: np.allclose(got, expected, rtol=rtol, atol=1e-300, equal_nan=True)
    if not close(value, point.value):
        raise Mismatch(f"the value of {place}", point.value, value, point.cause)
    g = f", dL/dy = {cotangent(np.shape(value)).tolist()}"
    for i, (grad, expected) in enumerate(zip(grads, point.gradients)):
        text = f"the gradient of argument {i + 1} of {place}{g}" if len(grads) > 1 else f"the gradient of {place}{g}"
        if expected is None:
            continue
        got = 0.0 if grad is None else grad
        if isinstance(expected, tuple):
            low, high = expected
            if not (np.all(low <= np.asarray(got)) and np.all(np.asarray(got) <= high)):
                raise Mismatch(text, f"a number from {low} to {high}", got, point.cause)
        elif not np.allclose(got, expected, rtol=rtol, atol=1e-12 if np.any(np.asarray(expected) == 0) else 0):
            raise Mismatch(text, expected, got, point.cause)


def ties(engine: Engine, draw: Draw, op: str) -> None:
    """The shares of equal elements add up to the gradient of the output."""
    every = [tie for tie in TIES[op] if not engine.scalar or all(np.ndim(x) == 0 for x in tie[1])]
    engine_op(engine, op)
    if not every:
        raise NotImplementedError("arrays")
    _, arrays, options = draw(st.sampled_from(every))
    place, _, grads = call_of(engine, op, arrays, options)
    shares = np.concatenate([np.ravel(0.0 if grad is None else grad) for grad in grads])
    if abs(shares.sum() - 1) > 1e-6 or shares.min() < 0:
        cause = "every equal element gets all of g: divide by their number, or select one" if shares.sum() > 1 else ""
        cause = cause or "equal elements get less than g between them"
        raise Mismatch(f"the gradient of {place}, dL/dy = 1", "shares that add up to 1", shares, cause)


SINGLE: dict[str, tuple[str, list[Any], tuple[Any, ...]]] = {
    "add": ("add", [[1.0, 2.0], [2.0, 1.0]], ()),
    "mul": ("mul", [[1.0, 2.0], [2.0, 1.0]], ()),
    "div": ("div", [[1.0, 2.0], [2.0, 1.0]], ()),
    "x * 2.0": ("mul", [[1.0, 2.0]], (2.0,)),
    "pow": ("pow", [[1.0, 2.0]], (2,)),
    "exp": ("exp", [[1.0, 2.0]], ()),
    "sigmoid": ("sigmoid", [[1.0, 2.0]], ()),
    "maximum": ("maximum", [[1.0, 2.0], [2.0, 1.0]], ()),
    "where": ("where", [[1.0, 2.0], [2.0, 1.0]], (np.array([True, False]),)),
    "sum": ("sum", [[1.0, 2.0]], (0, False)),
    "mean": ("mean", [[1.0, 2.0]], (None, False)),
    "matmul": ("matmul", [[[1.0, 2.0]], [[2.0], [1.0]]], ()),
    "softmax": ("softmax", [[[1.0, 2.0]]], (-1,)),
    "log_softmax": ("log_softmax", [[[1.0, 2.0]]], (-1,)),
    "cross_entropy": ("cross_entropy", [[[1.0, 2.0]]], (np.array([0]),)),
}


def dtype_stays(dtype: str) -> Callable[[Engine, Draw, str], None]:
    """The check that value and gradients of one dtype have this dtype."""

    def check(engine: Engine, draw: Draw, part: str) -> None:
        if engine.scalar or dtype > engine.dtype:
            raise NotImplementedError(f"arrays of {dtype}")
        op, arrays, options = SINGLE[part]
        function = engine_op(engine, op)
        seen: list[str] = []

        def ones(value: Any) -> Host:
            seen.append(str(np.asarray(value).dtype))
            return np.ones(np.shape(value), np.asarray(value).dtype)

        compute = lambda *xs: OP_CASES[op].call(function, xs, options)
        _, grads = engine.vjp(compute, [np.array(x, dtype) for x in arrays], ones)
        found = [*seen, *(str(np.asarray(grad).dtype) for grad in grads if grad is not None)]
        if set(found) != {dtype}:
            cause = "a Python number or a NumPy float64 scalar widens the result: half the speed, twice the memory"
            cause = cause if dtype == "float32" else "a cast to float32"
            raise Mismatch(f"the dtypes of value and gradients of {part}, for {dtype}", dtype, ", ".join(found), cause)

    return check


MAGNITUDES: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "sqrt": (math.sqrt, lambda x: 0.5 / math.sqrt(x)),
    "tanh": (math.tanh, lambda x: 1 / math.cosh(min(x, 300)) ** 2),
    "log": (math.log, lambda x: 1 / x),
    "abs": (abs, lambda x: 1.0),
}


def magnitudes(engine: Engine, draw: Draw, op: str) -> None:
    """Values over many orders of magnitude: no ε added, no digits lost."""
    function = engine_op(engine, op)
    x = draw(st.sampled_from((1.0, 1e-2, 1e-4, 1e-8, 1e-15, 1e2, 1e4, 1e10, 1e15)))
    reference, slope = MAGNITUDES[op]
    value, grads = run(engine, function, [np.array(x)], np.ones)
    rtol = 10 * engine.rtol
    if not np.allclose(value, reference(x), rtol=rtol, atol=0):
        raise Mismatch(
            f"{op}({x:g})", reference(x), value, "digits are lost, or an ε is added", int(abs(math.log10(x)))
        )
    if grads[0] is None or not np.allclose(grads[0], slope(x), rtol=rtol, atol=1e-12):
        raise Mismatch(f"the gradient of {op}({x:g})", slope(x), grads[0], size=int(abs(math.log10(x))))
