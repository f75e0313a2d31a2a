"""The checks of the level "training": optimizers, reset, accumulation, no_grad."""

from __future__ import annotations

from typing import Any

from ... import backend
from ..formulas import Host
from .adapter import Engine
from .mismatch import Mismatch
from .op_cases import Draw
from .op_check import engine_op, to_array

np = backend.numpy

TARGETS = ([1.0, -2.0], [0.5, 0.0])  # of the two parameters
STEPS = 4


def leaf(engine: Engine, *values: float) -> Any:
    """A leaf of these numbers; the first of them in an engine of numbers."""
    return engine.tensor(np.array(values[0] if engine.scalar else values, engine.dtype))


def ones(engine: Engine, x: Any) -> Host:
    """A cotangent of ones."""
    return np.ones(np.shape(engine.value(x)), engine.dtype)


def gradient(engine: Engine, x: Any) -> Host:
    """The gradient of a leaf as a copy; zeros if there is none."""
    grad = engine.grad(x)
    return np.zeros(np.shape(engine.value(x))) if grad is None else to_array(grad).copy()


def backward_of_square(engine: Engine, x: Any) -> None:
    """Run backward from x·x."""
    y = engine_op(engine, "mul")(x, x)
    engine.backward(y, ones(engine, y))


# Mistakes in an update, by the change of its formula
UPHILL = {"the sign: the step has to be against the gradient": "sign"}
MOMENTUM = {
    "the velocity is not kept from step to step": "no velocity",
    "the gradient is scaled by 1 - momentum, in torch it is not": "scaled",
}
ADAM = {
    "the correction of m and v, which start at 0, is missing: divide by 1 - βᵗ": "no correction",
    "the root of v is forgotten": "no root",
    "the gradient is not squared in v": "no square",
}


def updated(w: Host, part: str, lr: float, momentum: float, change: str = "") -> Host:
    """The weights after the steps of an optimizer on w·w, with a change of its formula."""
    m = v = w * 0
    with np.errstate(all="ignore"):
        for step in range(1, STEPS + 1):
            g = 2 * w
            if part == "Adam":
                m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * (g if change == "no square" else g * g)
                t = np.inf if change == "no correction" else step
                mean, square = m / (1 - 0.9**t), v / (1 - 0.999**t)
                update = mean / ((square if change == "no root" else np.sqrt(square)) + 1e-8)
            else:
                scale = 1 - momentum if change == "scaled" else 1
                update = m = (0 if change == "no velocity" else momentum) * m + scale * g
            w = w + lr * update if change == "sign" else w - lr * update
    return w


def optimizer(engine: Engine, draw: Draw, part: str) -> None:
    """The weights after some steps against the formula of the optimizer; the gradient of w·w is 2w."""
    lr = 0.1
    w, still = leaf(engine, 1.0, -2.0), leaf(engine, 0.5, 3.0)
    unused = leaf(engine, 4.0, 5.0)
    momentum = 0.9 if "momentum" in part else 0.0
    params = [w, still, unused]
    steps = engine.adam(params, lr) if part == "Adam" else engine.sgd(params, lr, momentum)
    first, rest = to_array(engine.value(w)).astype(float), to_array(engine.value(still)).astype(float)
    mul = engine_op(engine, "mul")
    for _ in range(STEPS):
        for x in params:
            engine.reset(x)
        y = engine_op(engine, "add")(mul(w, w), mul(still, engine.constant(rest.astype(engine.dtype) * 0)))
        engine.backward(y, ones(engine, y))
        steps.step()
    expected = updated(first, part, lr, momentum)
    got = to_array(engine.value(w))
    rtol = max(1e-6, 1e3 * engine.rtol)
    if not np.allclose(got, expected, rtol=rtol):
        causes = {"Adam": ADAM, "SGD with momentum": MOMENTUM}.get(part, {}) | UPHILL
        wrong = (
            cause
            for cause, change in causes.items()
            if np.allclose(got, updated(first, part, lr, momentum, change), equal_nan=True)
        )
        text = f"w after {STEPS} steps of {part}, lr = {lr}, on w·w, w = {start(engine)}"
        raise Mismatch(text, expected, got, next(wrong, ""))
    if not np.allclose(to_array(engine.value(still)), rest, rtol=rtol):
        cause = "the step divides by √v, which is 0 for a gradient of 0: add ε to the root"
        text = f"a parameter with gradient 0 after {STEPS} steps of {part}"
        raise Mismatch(text, rest, engine.value(still), cause if part == "Adam" else "")


def start(engine: Engine) -> str:
    """The first weights, as text."""
    return "1" if engine.scalar else "[1, -2]"


def step_after_sum(engine: Engine, draw: Draw, part: str) -> None:
    """A gradient that is changed in place by one parameter does not change that of another."""
    a, b = leaf(engine, 1.0, 1.0), leaf(engine, 1.0, 1.0)
    y = engine_op(engine, "add")(a, b)
    engine.backward(y, ones(engine, y))
    g = engine.grad(a)
    if not isinstance(g, np.ndarray):
        raise NotImplementedError("gradients that are NumPy arrays")
    try:
        g += 0.5
    except ValueError as error:
        cause = "the gradient is a view made by broadcasting: weight decay and clipping have to write to it"
        raise Mismatch("a.grad += 0.5 after backward of a + b", "possible", str(error), cause) from None
    if not np.allclose(gradient(engine, b), 1):
        cause = "both leaves got the same array: copy the gradient when it is stored"
        raise Mismatch("b.grad after backward of a + b, and a.grad += 0.5 (weight decay)", 1.0, engine.grad(b), cause)


def accumulation(engine: Engine, draw: Draw, part: str) -> None:
    """Gradients of two losses add up; after a reset there is one again."""
    x = leaf(engine, 3.0, -1.0)
    for _ in range(2):
        backward_of_square(engine, x)
    once = 2 * to_array(engine.value(x))
    got = gradient(engine, x)
    if part == "two losses":
        if not np.allclose(got, 2 * once):
            cause = "overwritten instead of accumulated" if np.allclose(got, once) else ""
            raise Mismatch(f"dL/dx after two times backward of x·x, x = {engine.value(x)}", 2 * once, got, cause)
        return
    engine.reset(x)
    if gradient(engine, x).any():
        raise Mismatch("the gradient after a reset", "None or zeros", engine.grad(x))
    backward_of_square(engine, x)
    if not np.allclose(gradient(engine, x), once):
        raise Mismatch("dL/dx of x·x after a reset", once, gradient(engine, x), "the reset is not complete")


def no_grad(engine: Engine, draw: Draw, part: str) -> None:
    """No graph is recorded in no_grad, not even after an exception in it."""
    mul = engine_op(engine, "mul")
    x = leaf(engine, 3.0, -1.0)
    if part == "records no graph":
        with engine.no_grad():
            t = mul(x, x)
        y = mul(t, x)
        engine.backward(y, ones(engine, y))
        expected = to_array(engine.value(x)) ** 2
        got = gradient(engine, x)
        if not np.allclose(got, expected):
            cause = "t is in the graph" if np.allclose(got, 3 * expected) else ""
            raise Mismatch("with no_grad: t = x·x. dL/dx of t·x", expected, got, cause)
        return
    try:
        with engine.no_grad():
            raise KeyError("planted")
    except KeyError:
        pass
    backward_of_square(engine, x)
    if not np.allclose(gradient(engine, x), 2 * to_array(engine.value(x))):
        cause = "the mode is not restored: use try and finally"
        raise Mismatch(
            "dL/dx of x·x after an exception in no_grad", 2 * to_array(engine.value(x)), gradient(engine, x), cause
        )
