"""One call of an op: its value against the formula, its gradients against finite differences of the formula."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from ... import backend
from .._cotangents import Cotangents
from .._diagnosis import UNKNOWN, Evidence, likely_cause
from ..formulas import Host
from ..selftest import LONG, central_differences, derivative
from .adapter import Engine
from .mismatch import Mismatch, Rejected, raised
from .op_cases import OP_CASES, Call, numbers

np = backend.numpy

listeners: list[Callable[[Call], None]] = []  # called with each call before it is run


def engine_op(engine: Engine, name: str) -> Callable[..., Any]:
    """An op of the engine by name; NotImplementedError where it has none."""
    if name not in engine.ops:
        raise NotImplementedError(name)
    return engine.ops[name]


def to_array(value: Any) -> Host:
    """What an engine returns, as an array."""
    return np.asarray(value)


def as_leaf(engine: Engine, array: Host) -> Host:
    """An array in the dtype of the engine."""
    return np.asarray(array, engine.dtype)


def run(
    engine: Engine, function: Callable[..., Any], arrays: Sequence[Host], g: Callable[[Any], Host]
) -> tuple[Host, list[Host | None]]:
    """The value and the gradients of a function of the engine's tensors, as copies. `g`: from the shape of y."""

    def cotangent(value: Any) -> Host:
        seen.append(to_array(value).copy())
        return np.asarray(g(seen[0].shape), seen[0].dtype if seen[0].dtype.kind == "f" else engine.dtype)

    seen: list[Host] = []
    value, grads = engine.vjp(function, [as_leaf(engine, array) for array in arrays], cotangent)
    return to_array(value).copy(), [None if grad is None else to_array(grad).copy() for grad in grads]


class WrongShape(Exception):
    """The value of an op has a wrong shape, so there is no cotangent for it."""


def check_call(engine: Engine, call: Call) -> None:
    """Raise Mismatch where the value or a gradient of the call is wrong."""
    cases, op = OP_CASES[call.op], engine_op(engine, call.op)
    function = lambda *arrays: cases.formula(*arrays, **call.options)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = np.asarray(function(*(array.astype(LONG) for array in call.arrays)))
        except (ValueError, ZeroDivisionError):
            raise Rejected from None
        if not np.isfinite(expected).all():
            raise Rejected
        for listener in listeners:
            listener(call)
        fail = lambda example, expected, got, cause="": Mismatch(example, expected, got, cause, call.size, call)

        def g(shape: Any) -> Host:
            if shape != expected.shape:
                raise WrongShape(shape)
            return call.cotangent(shape)

        try:
            value, grads = run(engine, lambda *xs: cases.call(op, xs, tuple(call.options.values())), call.arrays, g)
        except NotImplementedError:
            raise
        except WrongShape as error:
            raise fail(str(call), f"a value of shape {expected.shape}", f"shape {error.args[0]}") from None
        except Exception as error:
            raise fail(str(call), f"a value of shape {expected.shape} and its gradients", raised(error)) from None
        if not close(value, expected, engine.rtol):
            raise fail(f"the value of {call}", expected, value, explain_value(value, expected))
        check_gradients(engine, call, function, grads, expected, fail)


def close(got: Host, expected: Host, rtol: float) -> bool:
    """Whether values agree, relative to the largest."""
    scale = float(np.max(np.abs(expected), initial=0.0))
    return bool(np.allclose(got.astype(LONG), expected, rtol=rtol, atol=rtol * min(scale, 1.0)))


def check_gradients(
    engine: Engine,
    call: Call,
    function: Callable[..., Host],
    grads: Sequence[Host | None],
    y: Host,
    fail: Callable[..., Mismatch],
) -> None:
    """Raise Mismatch where a gradient has a wrong shape, or is not the slope along a random direction."""
    g = call.cotangent(y.shape)
    long = [array.astype(LONG) for array in call.arrays]
    with_g = f"{call}, dL/dy = {g.tolist()}"
    for i, (x, grad) in enumerate(zip(call.arrays, grads)):
        expected_gradient = lambda i=i: central_differences(function, long, i, g)
        place = f"the gradient of argument {i + 1} of {with_g}" if len(long) > 1 else f"the gradient of {with_g}"
        if grad is None:
            if x.size and expected_gradient().any():
                cause = "detached: the op is not in the graph, or its backward stores no gradient"
                raise fail(place, expected_gradient(), "no gradient", cause)
        elif grad.shape != x.shape:
            raise fail(place, f"shape {x.shape}", f"shape {grad.shape}", explain_shape(grad, x, y, g))
    if not y.size:
        return
    rng = backend.random.new_generator(call.seed, 7)
    directions = [rng.uniform(0.5, 1, x.shape) * rng.choice([-1, 1], x.shape) for x in call.arrays]
    slope = derivative(lambda t: (g * function(*(x + t * d for x, d in zip(long, directions)))).sum())
    along = [(0 if grad is None else grad.astype(LONG)) * d for grad, d in zip(grads, directions)]
    size = 1 + sum(float(np.abs(part).sum()) for part in along)
    if abs(sum(part.sum() for part in along) - slope) <= engine.rtol * size:
        return
    for i, grad in enumerate(grads):
        expected = central_differences(function, long, i, g)
        got = np.zeros_like(expected) if grad is None else grad
        if not np.allclose(got.astype(LONG), expected, rtol=engine.rtol, atol=engine.rtol):
            place = f"argument {i + 1} of {with_g}" if len(long) > 1 else with_g
            raise fail(f"the gradient of {place}", expected, got)


def explain_value(value: Host, expected: Host) -> str:
    """The likely cause of a wrong value."""
    if not np.isfinite(value).all():
        return "nan or inf: an overflow, a division by 0, or the logarithm of 0"
    if value.shape == expected.shape[::-1] and np.allclose(value.T, expected.astype(float)):
        return "a transpose: the right numbers, with their axes exchanged"
    if np.allclose(value.astype(float), expected.astype(float), rtol=1e-4, atol=1e-6):
        return "rounding: a cast to float32 on the way"
    c = float((value * expected).sum() / max((expected * expected).sum(), LONG(1e-300)))
    if c and np.allclose(value.astype(float), c * expected.astype(float), rtol=1e-6):
        return "the sign" if c == -1 else f"a factor {c:.6g}"
    return ""


def explain_shape(grad: Host, x: Host, y: Host, g: Host) -> str:
    """The likely cause of a gradient of the wrong shape."""
    if grad.shape == y.shape:
        return (
            "a missing sum over the axes that broadcasting added or stretched: the gradient has the shape of the output"
        )
    if grad.shape == x.shape[::-1]:
        return "a transpose: the axes are exchanged"
    if grad.size == x.size:
        return "the right number of elements, but an axis of size 1 is lost or added: sum with keepdims, then reshape"
    if grad.size > x.size:
        return "a missing sum over an axis that the forward pass repeats"
    return "a sum over too many axes"


def along_element(function: Callable[..., Host], arrays: list[Host], i: int, element: int) -> Callable[[Any], Host]:
    """t -> function, with t added to one element of array i."""
    step = np.zeros(arrays[i].size, LONG)
    step[element] = 1
    step = step.reshape(arrays[i].shape)
    return lambda t: function(*(array + t * step if j == i else array for j, array in enumerate(arrays)))


def explain_gradient(engine: Engine, call: Call) -> str:
    """The likely cause of a wrong gradient, from the engine's Jacobian and the measured one."""
    index = call.options.get("index")
    if isinstance(index, np.ndarray) and len(set((index % call.arrays[0].shape[0]).tolist())) < index.size:
        return "an element selected several times gets only one of its gradients: np.add.at(dx, index, g) adds all"
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(len(call.arrays)):
            evidence = evidence_at_points(engine, call, i) if all(x.ndim == 0 for x in call.arrays) else None
            evidence = evidence or evidence_on(engine, call, i)
            if evidence is not None:
                power = call.options.get("p", 1)
                if power != 1 and evidence.equal(evidence.a * power, evidence.n):
                    return "the factor p is forgotten: (xᵖ)' = p xᵖ⁻¹"
                cause = likely_cause(evidence)
                return (
                    "" if cause == UNKNOWN or cause.startswith("not zero") else cause
                )  # no op here is a step function
    return ""


def formula_and_op(engine: Engine, call: Call) -> tuple[Callable[..., Host], Callable[..., Any]]:
    """The formula of a call, and the same with the engine's op."""
    cases = OP_CASES[call.op]
    function = lambda *arrays: np.asarray(cases.formula(*arrays, **call.options))
    return function, lambda *xs: cases.call(engine.ops[call.op], xs, tuple(call.options.values()))


def evidence_on(engine: Engine, call: Call, i: int) -> Evidence | None:
    """The Jacobian of array i, as the engine's gradients imply it and as it is; None where they agree."""
    function, compute = formula_and_op(engine, call)
    long, x = [array.astype(LONG) for array in call.arrays], call.arrays[i]
    y = function(*long)
    cotangents = Cotangents([y.shape], backend.random.new_generator(call.seed, 5))
    rows = []
    for row in cotangents.rows:
        _, grads = run(engine, compute, call.arrays, lambda _: row.reshape(y.shape))  # noqa: B023
        grad = np.zeros(x.shape) if grads[i] is None else np.asarray(grads[i], float)
        if grad.shape != x.shape:
            return None
        rows.append(grad.ravel())
    columns = [
        cotangents.project(derivative(along_element(function, long, i, element)).ravel().astype(float))
        for element in range(x.size)
    ]
    return compared(engine, call, i, np.stack(rows), np.stack(columns, axis=1), cotangents, x, y)


def evidence_at_points(engine: Engine, call: Call, i: int, count: int = 5) -> Evidence | None:
    """The same for an op of numbers, at several points, as one elementwise function: one point shows no formula."""
    function, compute = formula_and_op(engine, call)
    positive = OP_CASES[call.op].positive
    vectors = [numbers((count,), positive, 3, position) for position in range(len(call.arrays))]
    y = function(*(vector.astype(LONG) for vector in vectors))
    if y.shape != (count,):
        return None
    given, measured = np.zeros(count), np.zeros(count)
    for k in range(count):
        point = [np.array(vector[k]) for vector in vectors]
        grad = run(engine, compute, point, np.ones)[1][i]
        given[k] = 0 if grad is None else grad.item()
        measured[k] = derivative(along_element(function, [array.astype(LONG) for array in point], i, 0))
    cotangents = Cotangents([y.shape], backend.random.new_generator(0))
    a, n = (np.concatenate([np.diag(d), cotangents.mixed @ np.diag(d)]) for d in (given, measured))
    moved = call._replace(arrays=vectors)
    return compared(engine, moved, i, a, n, cotangents, vectors[i], y)


def compared(
    engine: Engine, call: Call, i: int, given: Host, measured: Host, cotangents: Cotangents, x: Host, y: Host
) -> Evidence | None:
    """The evidence for the diagnosis; None where both agree."""
    tolerance = 1e3 * engine.rtol
    if np.allclose(given, measured, rtol=tolerance, atol=tolerance):
        return None
    noise, smooth = np.full(given.shape, engine.rtol), np.zeros(given.shape, bool)
    others = [other for j, other in enumerate(call.arrays) if j != i]
    return Evidence(given, measured, noise, smooth, cotangents, True, x, y.astype(float).ravel(), others)
