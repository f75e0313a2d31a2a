"""The self-test of `python -m minigrad check`: every op against its formula in NumPy's extended precision.

The value is compared with the formula. The gradient is compared with central differences of the formula, extrapolated
(Richardson) up to h⁶. Both references are more accurate than float64. Errors are in units in the last place (ulp), the
distance of neighbouring floating-point numbers, at the largest number involved. Rounding adds up to a few ulp; a wrong
VJP is off by thousands.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from .. import backend
from ..autograd.methods import OPS
from ..autograd.op import Op
from ..autograd.tensor import Tensor, grad
from .formulas import CONVENTIONS, FORMULAS, Host, signed

np = backend.numpy
LONG = np.longdouble
LIMIT = 64  # ulp that rounding may add up to
SIDES = ("value", "gradient")
EXAMPLES = 8  # drawn for each set of options


def shapes(signature: str, rng: Any, axes: int) -> list[tuple[int, ...]]:
    """Random shapes that fit a signature, with `axes` more axes to broadcast.

    For "(n,k),(k,m)->(n,m)" with one more these may be (2, 4, 3) and (1, 3, 2).
    """
    parts = re.findall(r"\(([^)]*)\)", signature.split("->")[0])
    any_axes = [int(n) for n in rng.integers(2, 4, 3)]  # what "..." stands for
    broadcast = [] if "..." in signature else [int(n) for n in rng.integers(2, 4, axes)]
    lengths: dict[str, int] = {}
    result = []
    for part in parts:
        shape = broadcast
        if len(parts) > 1:  # a broadcast axis may be missing in one array, or of size 1
            shape = [n if rng.random() < 0.7 else 1 for n in broadcast[int(rng.integers(0, axes + 1)) :]]
        for name in filter(None, part.split(",")):
            shape = shape + (any_axes if name == "..." else [lengths.setdefault(name, int(rng.integers(1, 5)))])
        result.append(tuple(shape))
    return result


def derivative(line: Callable[[Any], Host]) -> Host:
    """d line(t) / dt at t = 0, by central differences extrapolated to h = 0."""
    steps = (LONG(2.0**-7), LONG(2.0**-8), LONG(2.0**-9), LONG(2.0**-10))
    estimates = [(line(h) - line(-h)) / (2 * h) for h in steps]
    for power in (4, 16, 64):
        estimates = [(power * fine - coarse) / (power - 1) for coarse, fine in pairwise(estimates)]
    return estimates[0]


def central_differences(function: Callable[..., Host], arrays: Sequence[Host], position: int, g: Host) -> Host:
    """The slopes of Σ g · function for each element of one array, extrapolated to h = 0."""
    slopes = np.zeros(arrays[position].shape, LONG)
    for i in range(slopes.size):

        def line(t: Any, i: int = i) -> Host:
            moved = [np.array(array) for array in arrays]
            moved[position].flat[i] += t
            return (g * function(*moved)).sum()

        slopes.flat[i] = derivative(line)
    return slopes


def ulps(actual: Host, expected: Host, dtype: Any, like: Sequence[Host]) -> float:
    """The largest error, in ulp of the largest number in `expected` and `like`. A wrong shape, or nan, is inf."""
    if actual.shape != expected.shape:
        return math.inf
    if actual.dtype.kind != "f":
        return 0.0 if bool((actual == expected).all()) else math.inf
    largest = max(float(np.max(np.abs(array.astype(LONG)), initial=0.0)) for array in (expected, *like))
    error = float(np.max(np.abs(actual - expected), initial=0.0)) / float(np.spacing(np.asarray(largest, dtype)))
    return math.inf if math.isnan(error) else error


def op_named(name: str) -> Op:
    """The Op behind a function of Tensors."""
    return OPS[name].op  # type: ignore[attr-defined]


@dataclass
class Row:
    """The result for one op: the largest error of value and gradient in each dtype, in ulp, and the verdict."""

    name: str
    errors: dict[tuple[str, str], float]
    verdict: str = "ok"

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return self.verdict == "ok"


class Example(NamedTuple):
    """One call of an op, its value, and the gradient of each array for the cotangent g; None if not differentiable."""

    arrays: list[Host]
    options: dict[str, Any]
    value: Host | None  # None if only the gradients are known
    g: Host
    gradients: list[Host | None]


def exact_in_float32(array: Host) -> Host:
    """The array rounded to float32, so that every dtype gets the same numbers; bool is unchanged."""
    array = np.asarray(array)
    return array if array.dtype == bool else array.astype(np.float32)


def examples(name: str, rng: Any) -> Iterator[Example]:
    """Random calls of an op, and one at its kinks and ties."""
    formula, op = FORMULAS[name], op_named(name)
    for i in range(EXAMPLES):
        drawn = shapes(op.signature, rng, 2 - i % 3) * (3 if op.variadic else 1)
        arrays = [exact_in_float32(formula.draw(rng, shape, i)) for i, shape in enumerate(drawn)]
        long = [array if array.dtype == bool else array.astype(LONG) for array in arrays]
        for options in formula.options(drawn[0]):
            function = lambda *xs, options=options: formula.value(np, *xs, **options)
            value = np.asarray(function(*long))
            g = exact_in_float32(signed(rng, value.shape, 0))
            checked = [i for i in range(len(long)) if formula.differentiable and i not in formula.constant]
            gradients = [central_differences(function, long, i, g) if i in checked else None for i in range(len(long))]
            yield Example(arrays, options, value, g, gradients)
    if name in CONVENTIONS:
        inputs, options, slopes = CONVENTIONS[name]
        g = np.asarray(3.0) if name in ("amax", "amin") else np.full(np.shape(slopes[0]), 3.0)
        arrays = [exact_in_float32(array) for array in inputs]
        yield Example(arrays, options, None, g, [np.asarray(slope) * 3.0 for slope in slopes])


def check_op(name: str, dtypes: Sequence[Any], device: backend.device, rng: Any) -> Row:
    """Run the examples of one op in each dtype on a device."""
    row = Row(name, {(str(dtype), side): 0.0 for dtype in dtypes for side in SIDES})
    if name not in FORMULAS:
        row.verdict = "no formula: add one to minigrad.testing.formulas.FORMULAS"
        return row
    try:
        for example in examples(name, rng):
            for dtype in dtypes:
                run_example(row, example, dtype, device)
    except Exception as error:  # whatever an op raises is its verdict
        row.verdict = f"raised {type(error).__name__}: {error}"
    return row


def run_example(row: Row, example: Example, dtype: Any, device: backend.device) -> None:
    """Run one example in one dtype and record its errors."""

    def to_tensor(array: Host) -> Tensor:
        return Tensor(library.from_host(array if array.dtype == bool else array.astype(dtype)))

    library = backend.library(device)
    leaves = [to_tensor(array).requires_grad_(g is not None) for array, g in zip(example.arrays, example.gradients)]
    options = {
        key: library.from_host(value) if isinstance(value, np.ndarray) else device if row.name == "move" else value
        for key, value in example.options.items()
    }
    output = OPS[row.name](*leaves, **options)
    coarse = min(dtype, output.dtype, key=lambda dtype: dtype.itemsize) if output.dtype.kind == "f" else dtype
    if example.value is not None:
        error = ulps(library.to_host(output.array), example.value, coarse, example.arrays)
        record_error(row, "value", error, dtype, "value")
    differentiable = [(i, leaf) for i, leaf in enumerate(leaves) if leaf.requires_grad]
    if not differentiable:
        return
    g = Tensor(library.from_host(example.g.astype(output.dtype)))
    for (i, _), found in zip(differentiable, grad(output, [leaf for _, leaf in differentiable], g)):
        assert found is not None  # nosec B101 # for mypy
        names = op_named(row.name).array_names
        error = ulps(library.to_host(found.array), example.gradients[i], coarse, [example.g])
        record_error(row, "gradient", error, dtype, f"gradient of {names[i] if names else f'array {i}'}")


def record_error(row: Row, side: str, error: float, dtype: Any, what: str) -> None:
    """Record an error, and the verdict if it is too large."""
    key = (str(dtype), side)
    row.errors[key] = max(row.errors[key], error)
    if error > limit(dtype) and row.passed:
        row.verdict = f"WRONG {what}"


def limit(dtype: Any) -> float:
    """The ulp that rounding may add up to: of the op, and of the differences where `longdouble` is short."""
    return LIMIT + 2**13 * float(np.finfo(LONG).eps / np.finfo(dtype).eps)


def check_ops(names: Sequence[str], dtypes: Sequence[Any], device: backend.device, seed: int = 0) -> Iterator[Row]:
    """A Row for each of these ops."""
    for position, name in enumerate(names):
        yield check_op(name, dtypes, device, backend.random.new_generator(seed, position))
