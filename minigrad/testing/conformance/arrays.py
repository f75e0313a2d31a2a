"""The checks of the level "arrays": broadcasting, reductions, shapes, indexing."""

from __future__ import annotations

from ... import backend
from .adapter import Engine
from .mismatch import Mismatch, Rejected
from .op_cases import OP_CASES, Draw, draw_call
from .op_check import check_call, engine_op

np = backend.numpy


def op_on_arrays(engine: Engine, draw: Draw, op: str) -> None:
    """Value and gradients of an op on arrays of every shape."""
    require_arrays(engine)
    check_call(engine, draw_call(draw, op, dtype=engine.dtype))


def op_on_empty_arrays(engine: Engine, draw: Draw, op: str) -> None:
    """The same, with axes of size 0."""
    require_arrays(engine)
    call = draw_call(draw, op, empty=True, dtype=engine.dtype)
    if all(array.size for array in call.arrays):
        raise Rejected
    check_call(engine, call)


def wrong_shapes(engine: Engine, draw: Draw, op: str) -> None:
    """Shapes that do not fit raise an error."""
    require_arrays(engine)
    shapes = {"matmul": ((2, 3), (2, 3)), "reshape": ((2, 3),)}.get(op, ((2,), (3,)))
    options = {"reshape": ((4,),)}.get(op, ())
    function, xs = engine_op(engine, op), [engine.constant(np.ones(shape, engine.dtype)) for shape in shapes]
    try:
        y = OP_CASES[op].call(function, xs, options)
        got = np.shape(engine.value(y))
    except NotImplementedError:
        raise
    except Exception:
        return
    place = f"{op} of shapes {', '.join(map(str, shapes))}" + "".join(f" to {option}" for option in options)
    raise Mismatch(place, "an error", f"a result of shape {got}")


def require_arrays(engine: Engine) -> None:
    """Raise NotImplementedError for an engine of numbers."""
    if engine.scalar:
        raise NotImplementedError("arrays")
