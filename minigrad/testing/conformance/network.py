"""The checks of the level "network": matrix products, layers and losses."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ... import backend
from ..formulas import Host
from ..selftest import LONG, central_differences
from .adapter import Engine
from .arrays import require_arrays
from .mismatch import Mismatch, Rejected, raised
from .op_cases import PRODUCTS, Draw, cross_entropy, draw_call, numbers, written
from .op_check import check_call, engine_op, run

np = backend.numpy


def products_of_all_ranks(engine: Engine, draw: Draw, kind: str) -> None:
    """matmul of vectors, matrices and batches."""
    require_arrays(engine)
    check_call(engine, draw_call(draw, "matmul", PRODUCTS[kind], dtype=engine.dtype))


def composed(engine: Engine, draw: Draw, part: str) -> None:
    """Expressions in which a matrix is used more than once, and a network of two layers."""
    require_arrays(engine)
    seed, n = draw(st.integers(0, 9)), draw(st.integers(2, 3))
    matmul = engine_op(engine, "matmul")
    a, b, c = (numbers((n, n), False, seed, i) for i in range(3))
    labels = np.arange(n) % 2
    if part.startswith("two") and np.abs(a @ b).min() < 0.05:
        raise Rejected  # at a kink of relu
    relu = lambda x: x * (x > 0)
    programs: dict[str, tuple[Any, Any, list[Host], tuple[str, ...]]] = {
        "a @ a": (lambda a: matmul(a, a), lambda a: a @ a, [a], ()),
        "x @ w @ w": (lambda x, w: matmul(matmul(x, w), w), lambda x, w: x @ w @ w, [a, b], ()),
        "two layers and cross-entropy": (
            lambda x, w, v: engine.ops["cross_entropy"](matmul(engine.ops["relu"](matmul(x, w)), v), labels),
            lambda x, w, v: cross_entropy(relu(x @ w) @ v, labels),
            [a, b, c / 4],
            ("relu", "cross_entropy"),
        ),
    }
    function, formula, arrays, needs = programs[part]
    for name in needs:
        engine_op(engine, name)
    long = [array.astype(LONG) for array in arrays]
    y = np.asarray(formula(*long))
    g = numbers(y.shape, False, seed, 4)
    place = f"{part}, {', '.join(map(written, arrays))}, dL/dy = {g.tolist()}"
    try:
        _, grads = run(engine, function, arrays, lambda shape: g.reshape(shape))
    except NotImplementedError:
        raise
    except Exception as error:
        raise Mismatch(place, "gradients", raised(error), size=n) from None
    for i, grad in enumerate(grads):
        expected = central_differences(formula, long, i, g)
        got = np.zeros_like(expected) if grad is None else grad
        if got.shape != expected.shape or not np.allclose(
            got.astype(float), expected.astype(float), rtol=100 * engine.rtol, atol=100 * engine.rtol
        ):
            cause = ""
            if part != "two layers and cross-entropy" and np.abs(got).sum() < np.abs(expected).sum():
                cause = "overwritten instead of accumulated: a matrix that is used twice gets the sum over its uses"
            raise Mismatch(f"the gradient of argument {i + 1} of {place}", expected, got, cause, n)


SCORES = [[0.1, 0.2, 0.3], [0.3, 0.1, 0.2]]


def wrong_labels(engine: Engine, draw: Draw, part: str) -> None:
    """Labels that do not fit raise an error."""
    require_arrays(engine)
    labels = {
        "label of C": [0, 3],
        "label of -1": [0, -1],
        "shape (N, 1)": [[0], [1]],
        "one label for N rows": [0],
    }[part]
    expect_error(engine, np.array(labels), f"cross_entropy of scores (2, 3), labels = {labels}")


def expect_error(engine: Engine, labels: Host, place: str) -> None:
    """Raise Mismatch where cross_entropy takes these labels."""
    function = engine_op(engine, "cross_entropy")
    try:
        value, _ = run(engine, lambda x: function(x, labels), [np.array(SCORES)], np.ones)
    except NotImplementedError:
        raise
    except Exception:
        return
    cause = "the labels broadcast against the scores"
    if labels.shape == (len(SCORES),):
        cause = "out of range, and not noticed"
        last = cross_entropy(np.array(SCORES, LONG), labels % len(SCORES[0]))
        if labels.min() < 0 and np.isclose(float(value), float(last)):
            cause = "an index of -1 selects the last class"
    raise Mismatch(place, "an error", f"the loss {value.tolist()}", cause)


def label_dtypes(engine: Engine, draw: Draw, dtype: str) -> None:
    """Labels of every int dtype: those of image files are uint8."""
    require_arrays(engine)
    function, scores = engine_op(engine, "cross_entropy"), np.array(SCORES)
    labels = np.array([2, 0], dtype)
    expected = cross_entropy(scores.astype(LONG), labels)
    place = f"cross_entropy of scores (2, 3), labels = [2, 0] as {dtype}"
    try:
        value, _ = run(engine, lambda x: function(x, labels), [scores], np.ones)
    except NotImplementedError:
        raise
    except Exception as error:
        raise Mismatch(place, float(expected), raised(error)) from None
    if not np.allclose(float(value), float(expected), rtol=1e3 * engine.rtol):
        raise Mismatch(place, float(expected), value)


def loss_keeps_inputs(engine: Engine, draw: Draw, op: str) -> None:
    """A loss leaves scores and targets as they are."""
    require_arrays(engine)
    function = engine_op(engine, op)
    scores = np.array(SCORES, engine.dtype)
    target = np.array([2, 0]) if op == "cross_entropy" else np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]], engine.dtype)
    given, x = target.copy(), engine.constant(scores.copy())
    function(x, engine.constant(given) if op == "mse_loss" else given)
    for name, before, after in (("scores", scores, engine.value(x)), ("targets", target, given)):
        if not np.array_equal(before, np.asarray(after)):
            raise Mismatch(f"{name} after {op}", before, after, "the loss changes its input in place")
