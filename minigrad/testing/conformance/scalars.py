"""The checks of the level "scalars": numbers, and the order of the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from ... import backend
from ..formulas import Host
from .adapter import Engine
from .mismatch import Mismatch, raised
from .op_cases import Draw, draw_call
from .op_check import check_call, engine_op, run, to_array

np = backend.numpy
Grads = list[float]


def one(shape: tuple[int, ...]) -> Host:
    """The cotangent dL/dy = 1."""
    return np.ones(shape)


def gradients_at(engine: Engine, function: Callable[..., Any], *xs: float) -> tuple[float, Grads]:
    """The value and the derivatives of a function of numbers; a leaf without a gradient has 0."""
    value, grads = run(engine, function, [np.array(x) for x in xs], one)
    return value.item(), [0.0 if grad is None else grad.item() for grad in grads]


def scalar_op(engine: Engine, draw: Draw, op: str) -> None:
    """Value and derivative of an op of numbers."""
    count = 2 if op in ("add", "sub", "mul", "div", "maximum", "minimum") else 1
    check_call(engine, draw_call(draw, op, lambda draw: ((),) * count, dtype=engine.dtype))


def number_operands(engine: Engine, draw: Draw, part: str) -> None:
    """An operator with a Python number on one side."""
    c = draw(st.sampled_from((2, 3.0, -1.5)))
    x = draw(st.sampled_from((2.0, 1.0, -3.0, 0.5)))
    expressions: dict[str, tuple[Callable[[Any], Any], float, float]] = {
        "x + c": (lambda x: x + c, x + c, 1),
        "c + x": (lambda x: c + x, c + x, 1),
        "x - c": (lambda x: x - c, x - c, 1),
        "c - x": (lambda x: c - x, c - x, -1),
        "x * c": (lambda x: x * c, x * c, c),
        "c * x": (lambda x: c * x, c * x, c),
        "x / c": (lambda x: x / c, x / c, 1 / c),
        "c / x": (lambda x: c / x, c / x, -c / x**2),
    }
    expression, value, slope = expressions[part]
    name = {"+": "add", "-": "sub", "*": "mul", "/": "truediv"}[part.split()[1]]

    def function(x: Any) -> Any:
        if not (hasattr(type(x), f"__{name}__") or hasattr(type(x), f"__r{name}__")):
            raise NotImplementedError("operators")
        return expression(x)

    place = f"{part} for x = {x}, c = {c!r}: value and derivative"
    try:
        got, grads = gradients_at(engine, function, x)
    except NotImplementedError:
        raise
    except Exception as error:
        raise Mismatch(place, [value, slope], raised(error)) from None
    if not np.allclose([got, *grads], [value, slope], rtol=1e-6):
        raise Mismatch(place, [value, slope], [got, *grads])


def used_twice(engine: Engine, draw: Draw, part: str) -> None:
    """A value used several times gets the sum of the gradients."""
    add, mul = engine_op(engine, "add"), engine_op(engine, "mul")
    x = draw(st.sampled_from((1.0, 2.0, 3.0, -1.0)))

    def fork_and_join(x: Any) -> Any:
        a = add(x, x)
        return mul(a, mul(a, a))

    def early_used_late(x: Any) -> Any:
        t = mul(x, x)
        return add(mul(mul(t, x), x), t)

    def ladder(x: Any) -> Any:
        a = mul(x, x)
        b = add(a, x)
        c = mul(a, b)
        return add(c, mul(b, a))

    # The value, the derivative, and those of its terms that remain if a gradient is overwritten
    expressions: dict[str, tuple[Callable[[Any], Any], float, list[float]]] = {
        "x + x": (lambda x: add(x, x), 2, [1]),
        "x·x": (lambda x: mul(x, x), 2 * x, [x]),
        "x·x + x": (lambda x: add(mul(x, x), x), 2 * x + 1, [1, 2 * x, x, x + 1]),
        "a·(a·a), a = x + x": (fork_and_join, 24 * x**2, [4 * x**2, 8 * x**2, 12 * x**2]),
        "t·x·x + t, t = x·x": (early_used_late, 4 * x**3 + 2 * x, [2 * x, x**3, 2 * x**3, 2 * x**3 + 2 * x]),
        "a·b + b·a, a = x·x, b = a + x": (ladder, 8 * x**3 + 6 * x**2, [2 * x**2, 4 * x**3 + 4 * x**2, 4 * x**3]),
    }
    function, slope, partial = expressions[part]
    _, (got,) = gradients_at(engine, function, x)
    if not np.isclose(got, slope, rtol=1e-6):
        cause = (
            "the gradient is counted before all uses are done: the order is not topological, or a node is visited twice"
        )
        if any(np.isclose(got, each) for each in partial):
            cause = "overwritten instead of accumulated: a value used several times gets the sum over its uses"
        raise Mismatch(f"the derivative of {part} at x = {x}", slope, got, cause)


def random_expression(engine: Engine, draw: Draw, part: str) -> None:
    """A random graph of +, - and ×, in which any value may be used again."""
    names = [name for name in ("mul", "add", "sub") if name in engine.ops]
    if len(names) < 2:
        raise NotImplementedError("add and mul")
    count = draw(st.integers(1, 8))
    value_before = lambda i: draw(st.integers(0, i + 1))
    steps = [(draw(st.sampled_from(names)), value_before(i), value_before(i)) for i in range(count)]
    signs = {"mul": "·", "add": "+", "sub": "-"}

    def function(a: Any, b: Any) -> Any:
        values = [a, b]
        for name, i, j in steps:
            values.append(engine.ops[name](values[i], values[j]))
        return values[-1]

    # The same with (value, derivatives), by the rules of calculus, on exact whole numbers
    duals: list[tuple[int, int, int]] = [(2, 1, 0), (3, 0, 1)]
    for name, i, j in steps:
        (u, *du), (v, *dv) = duals[i], duals[j]
        if name == "mul":
            duals.append((u * v, du[0] * v + u * dv[0], du[1] * v + u * dv[1]))
        else:
            sign = 1 if name == "add" else -1
            duals.append((u + sign * v, du[0] + sign * dv[0], du[1] + sign * dv[1]))
    expected = duals[-1]
    if max(map(abs, expected)) > 2**50:
        return
    text = "; ".join(f"v{k + 2} = v{i} {signs[name]} v{j}" for k, (name, i, j) in enumerate(steps))
    place = f"v0 = 2, v1 = 3; {text}: value, dL/dv0, dL/dv1 of the last"
    value, grads = gradients_at(engine, function, 2.0, 3.0)
    if not np.allclose([value, *grads], expected, rtol=1e-6):
        cause = "the value is right, and a gradient is not: the order of the backward pass, or its accumulation"
        raise Mismatch(place, list(expected), [value, *grads], cause if np.isclose(value, expected[0]) else "", count)


def deep_chain(engine: Engine, draw: Draw, part: str) -> None:
    """A chain of many ops, backward and deletion included."""
    add, n = engine_op(engine, "add"), int(part.split()[0].replace(",", ""))

    def function(x: Any) -> Any:
        zero = engine.constant(np.array(0.0, engine.dtype))
        for _ in range(n):
            x = add(x, zero)
        return x

    place = f"the derivative of x + 0 + 0 + ..., {n:,} ops"
    try:
        _, (got,) = gradients_at(engine, function, 1.0)
    except RecursionError:
        cause = "a recursive search of the graph: Python allows about 1,000 nested calls; use a loop with a stack"
        raise Mismatch(place, 1, "RecursionError", cause) from None
    if got != 1:
        raise Mismatch(place, 1, got)


def second_backward(engine: Engine, draw: Draw, part: str) -> None:
    """A second backward pass on one graph raises an error, or adds the same gradient once more."""
    mul = engine_op(engine, "mul")
    x = engine.tensor(np.array(3.0, engine.dtype))
    y = mul(mul(x, x), x)
    g = np.ones((), engine.dtype)
    engine.backward(y, g)
    first = to_array(engine.grad(x)).item()
    try:
        engine.backward(y, g)
        second = to_array(engine.grad(x)).item()
    except Exception:
        return
    if not (np.isclose(first, 27) and np.isclose(second, 54)):
        cause = "the gradients of inner nodes are kept from the first pass, and are added again"
        cause = "the second pass does nothing, and says nothing" if first == second else cause
        raise Mismatch(
            "dL/dx of x·x·x at 3, after backward, and after a second backward", [27, 54], [first, second], cause
        )


def shared_graph(engine: Engine, draw: Draw, part: str) -> None:
    """Two losses that share a part of the graph: both gradients, or an error."""
    mul, add = engine_op(engine, "mul"), engine_op(engine, "add")
    x = engine.tensor(np.array(3.0, engine.dtype))
    shared = mul(x, x)
    losses, g = (add(shared, x), mul(shared, x)), np.ones((), engine.dtype)
    try:
        for loss in losses:
            engine.backward(loss, g)
    except NotImplementedError:
        raise
    except Exception:
        return
    got = to_array(engine.grad(x)).item()
    if not np.isclose(got, 34):
        cause = "the gradient of the shared node is kept from the first loss" if got > 34 else ""
        cause = cause or "backward of the second loss discards the gradients of the first, or skips the shared part"
        raise Mismatch("t = x·x, x = 3: dL/dx after backward of t + x, and of t·x", 34, got, cause)
