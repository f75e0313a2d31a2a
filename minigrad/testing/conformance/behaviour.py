"""The checks of the level "engine": memory, aliasing, changes in place, exceptions, threads, second derivatives."""

from __future__ import annotations

import gc
import sys
import threading
import warnings
import weakref
from contextlib import suppress
from typing import Any

from ... import backend
from .adapter import Engine
from .mismatch import Mismatch, raised
from .op_cases import OP_CASES, Draw, draw_call, written
from .op_check import engine_op, run, to_array
from .training import gradient, leaf, ones

np = backend.numpy


def share_no_memory(engine: Engine, draw: Draw, op: str) -> None:
    """Gradients of two leaves are two arrays, and none is an input."""
    x, y = leaf(engine, 1.0, 2.0), leaf(engine, 3.0, 4.0)
    z = engine_op(engine, op)(x, y)
    engine.backward(z, ones(engine, z))
    g, h = engine.grad(x), engine.grad(y)
    if not isinstance(g, np.ndarray) or not isinstance(h, np.ndarray):
        raise NotImplementedError("gradients that are NumPy arrays")
    if np.shares_memory(g, h):
        cause = "both inputs get the same array: a change of one in place changes the other"
        raise Mismatch(f"the gradients of a and b after {op}(a, b)", "two arrays", "one array", cause)
    for name, tensor in (("a", x), ("b", y)):
        if isinstance(engine.value(tensor), np.ndarray) and any(
            np.shares_memory(engine.value(tensor), e) for e in (g, h)
        ):
            raise Mismatch(f"a gradient after {op}(a, b)", "a new array", f"shares memory with the value of {name}")


def own_writable_memory(engine: Engine, draw: Draw, op: str) -> None:
    """A gradient can be written to, element by element."""
    if engine.scalar:
        raise NotImplementedError("arrays")
    x = engine.tensor(np.array([[1.0, 2.0], [3.0, 4.0]], engine.dtype))
    options = {"sum": (None, False), "mean": (None, False), "transpose": (0, 1), "expand_dims": (0,)}[op]
    y = engine_op(engine, op)(x, *options)
    engine.backward(y, ones(engine, y))
    g = engine.grad(x)
    if not isinstance(g, np.ndarray):
        raise NotImplementedError("gradients that are NumPy arrays")
    if not g.flags.writeable or 0 in g.strides:
        cause = "the gradient is a view made by broadcasting: copy it when it is stored"
        raise Mismatch(f"the gradient of {op}", "an array that can be written to", "a read-only view", cause)


def isolated_from_caller(engine: Engine, draw: Draw, part: str) -> None:
    """The caller's array, changed after the forward pass, does not change the gradient."""
    given = np.array(3.0 if engine.scalar else [3.0, -1.0], engine.dtype)
    expected = 2 * given
    x = engine.tensor(given)
    y = engine_op(engine, "mul")(x, x)
    g = ones(engine, y)
    try:
        given[...] = 9.0
        engine.backward(y, g)
    except Exception:
        return
    if not np.allclose(gradient(engine, x), expected):
        cause = "the tensor keeps the caller's array: copy it, or record a version"
        place = f"x = tensor(a), y = x·x, a[...] = 9, backward: dL/dx, a was {written(expected / 2)}"
        raise Mismatch(place, expected, gradient(engine, x), cause)


def inputs_unchanged(engine: Engine, draw: Draw, op: str) -> None:
    """Neither forward nor backward changes a value."""
    engine_op(engine, op)
    call = draw_call(draw, op, (lambda draw: ((), ())[: 2 if op in ("add", "mul") else 1]) if engine.scalar else None)
    xs = [engine.tensor(np.asarray(array, engine.dtype).copy()) for array in call.arrays]
    y = OP_CASES[op].call(engine.ops[op], xs, tuple(call.options.values()))
    value = to_array(engine.value(y)).copy()
    g = np.asarray(call.cotangent(value.shape), engine.dtype)
    given = g.copy()
    engine.backward(y, given)
    for i, (x, before) in enumerate(zip(xs, call.arrays)):
        if not np.allclose(to_array(engine.value(x)), before):
            raise Mismatch(
                f"argument {i + 1} after forward and backward of {call}", before, engine.value(x), size=call.size
            )
    for name, before, after in (("the output", value, engine.value(y)), ("the cotangent g", g, given)):
        if not np.array_equal(before, to_array(after), equal_nan=True):
            cause = "the backward pass writes to an array that is not its own"
            raise Mismatch(f"{name} after backward of {call}", before, after, cause, call.size)


def change_in_place(engine: Engine, draw: Draw, part: str) -> None:
    """A value that is overwritten between forward and backward: an error, or the gradient at the old value."""
    x = leaf(engine, 3.0, -1.0)
    old = to_array(engine.value(x)).copy()
    y = engine_op(engine, "mul")(x, x)
    g = ones(engine, y)
    try:
        engine.set_value(x, np.full(old.shape, 10.0, engine.dtype))
        engine.backward(y, g)
    except NotImplementedError:
        raise
    except Exception:
        return
    if not np.allclose(gradient(engine, x), 2 * old):
        cause = "the backward pass reads the new value: count versions, or copy"
        place = f"x = {written(old)}, y = x·x, x overwritten by 10, backward: dL/dx"
        raise Mismatch(place, f"{(2 * old).tolist()}, or an error", gradient(engine, x), cause)


def freed_at_once(engine: Engine, draw: Draw, part: str) -> None:
    """The graph is freed without the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        x = leaf(engine, 1.0, 2.0)
        y = engine_op(engine, "mul")(x, x)
        z = engine_op(engine, "add")(y, x)
        engine.backward(z, ones(engine, z))
        try:
            reference = weakref.ref(y)
        except TypeError:
            raise NotImplementedError("weak references to tensors") from None
        del y, z
        if reference() is not None:
            cause = "a reference cycle: a backward closure refers to its own output, which refers to the closure"
            raise Mismatch("the inner tensor of x·x + x, after the result is deleted", "freed", "still there", cause)
    finally:
        gc.enable()


def usable_after_exception(engine: Engine, draw: Draw, part: str) -> None:
    """An exception in a function leaves the engine as it was."""
    mul = engine_op(engine, "mul")

    def fails(x: Any) -> Any:
        mul(x, x)
        raise KeyError("planted")

    def square(x: Any) -> Any:
        return mul(x, x)

    array = np.array(3.0, engine.dtype)
    for _ in range(3):
        with suppress(KeyError):
            run(engine, fails, [array], np.ones)
    _, (got,) = run(engine, square, [array], np.ones)
    if got is None or got.item() != 6:
        raise Mismatch("dL/dx of x·x at 3, after an exception in a forward pass", 6, got, "a state is not restored")
    outer = lambda x: mul(x, engine.constant(run(engine, square, [array], np.ones)[0]))
    _, (got,) = run(engine, outer, [array], np.ones)
    if got is None or got.item() != 9:
        raise Mismatch("dL/dx of x·c, where c comes from another backward pass", 9, got, "a state is not restored")


def threads(engine: Engine, draw: Draw, part: str) -> None:
    """Backward passes in several threads do not disturb each other."""
    mul, add = engine_op(engine, "mul"), engine_op(engine, "add")
    wrong: list[str] = []

    start = threading.Barrier(4)

    def work(n: int) -> None:
        def function(x: Any) -> Any:
            y = x
            for _ in range(20):
                y = add(mul(x, x), y)
            return y

        start.wait()
        try:
            for _ in range(20):
                _, (got,) = run(engine, function, [np.array(float(n))], np.ones)
                if got is None or got.item() != 40 * n + 1:
                    wrong.append(f"{got} for {40 * n + 1}")
        except Exception as error:
            wrong.append(raised(error))

    workers = [threading.Thread(target=work, args=(n,)) for n in range(1, 5)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        finally:
            sys.setswitchinterval(interval)
    if wrong:
        raise Mismatch("gradients in four threads at once", "as in one", wrong[0], "a state is shared between threads")


def same_bits(engine: Engine, draw: Draw, part: str) -> None:
    """The same program gives the same bits."""
    mul, add = engine_op(engine, "mul"), engine_op(engine, "add")

    def function(*xs: Any) -> Any:
        y = xs[0]
        for a in xs:
            for b in xs:
                y = add(y, mul(a, b))
        return y

    arrays = [np.array(0.1 * i + 0.05) for i in range(9)]
    keep: list[Any] = []
    seen = set()
    for i in range(5):
        keep.append([object() for _ in range(17 * i)])  # other addresses in memory
        _, grads = run(engine, function, arrays, np.ones)
        seen.add(tuple(None if grad is None else grad.item() for grad in grads))
    if len(seen) > 1:
        cause = "the order of the backward pass depends on addresses in memory: a set where a list or dict belongs"
        raise Mismatch(
            "gradients of Σ a·b over nine numbers, five times", "the same bits", f"{len(seen)} results", cause
        )


def linear_in_g(engine: Engine, draw: Draw, op: str) -> None:
    """For 2²⁰ times the cotangent, 2²⁰ times the gradient."""
    engine_op(engine, op)
    call = draw_call(draw, op, (lambda draw: ((),)) if engine.scalar else None)
    compute = lambda *xs: OP_CASES[op].call(engine.ops[op], xs, tuple(call.options.values()))
    results = []
    for factor in (1.0, 2.0**20, -(2.0**-20)):
        _, grads = run(engine, compute, call.arrays, lambda shape: factor * call.cotangent(shape))  # noqa: B023
        results.append([None if grad is None else grad / factor for grad in grads])
    as_arrays = lambda grads: [np.zeros(()) if grad is None else grad for grad in grads]
    for scaled in results[1:]:
        for a, b in zip(as_arrays(results[0]), as_arrays(scaled)):
            if not np.allclose(a, b, rtol=1e-5, atol=1e-7):
                cause = "the VJP is not linear in g: clipped, or with a threshold or a constant in it"
                raise Mismatch(f"the gradient of {call} for c g, divided by c", a, b, cause, call.size)


def second_derivative(engine: Engine, draw: Draw, part: str) -> None:
    """The derivative of a derivative."""
    mul = engine_op(engine, "mul")
    functions: dict[str, tuple[Any, float, tuple[str, ...]]] = {
        "x·x·x": (lambda x: mul(mul(x, x), x), 12, ()),
        "exp": (lambda x: engine.ops["exp"](x), float(np.exp(2.0)), ("exp",)),
        "tanh": (lambda x: engine.ops["tanh"](x), -2 * np.tanh(2.0) / np.cosh(2.0) ** 2, ("tanh",)),
        "1 / x": (lambda x: engine.ops["div"](engine.constant(np.array(1.0, engine.dtype)), x), 0.25, ("div",)),
        "log": (lambda x: engine.ops["log"](x), -0.25, ("log",)),
    }
    function, expected, needs = functions[part]
    for name in needs:
        engine_op(engine, name)
    derivative = engine.gradient_function(function)
    place = f"the second derivative of {part} at 2"
    try:
        _, (got,) = run(engine, derivative, [np.array(2.0)], np.ones)
    except NotImplementedError:
        raise
    except Exception as error:
        raise Mismatch(place, expected, raised(error)) from None
    if got is None or not np.allclose(got, expected, rtol=1e3 * engine.rtol):
        cause = "the backward pass does not record a graph of its own ops" if got is None or not np.any(got) else ""
        raise Mismatch(place, expected, got, cause)
