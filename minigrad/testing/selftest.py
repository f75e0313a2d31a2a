"""Is this installation right? Every op against its formula, written once more here, in NumPy's longest floating point.

The value is compared with the formula; the gradient with central differences of the formula, whose truncation error is
removed up to h⁶ (Richardson's extrapolation), so that both are known better than float64 can say. What is left is given
in units in the last place (ulp): the distance between neighbouring floating-point numbers, at the largest number that
took part. A right op errs by a few of them, as rounding adds up; a wrong rule by thousands.
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

np = backend.numpy
Host = Any  # an array of NumPy
LONG = np.longdouble
LIMIT = 64  # ulp that rounding may add up to
SIDES = ("value", "gradient")
EXAMPLES = 8  # drawn for each set of static arguments


# Inputs: away from kinks and the edges of domains, where slopes from left and right differ
def signed(rng: Any, shape: tuple[int, ...], position: int) -> Host:
    """±[0.5, 2]"""
    return rng.uniform(0.5, 2, shape) * rng.choice([-1, 1], shape)


def positive(rng: Any, shape: tuple[int, ...], position: int) -> Host:
    """[0.5, 2]"""
    return rng.uniform(0.5, 2, shape)


def apart(rng: Any, shape: tuple[int, ...], position: int) -> Host:
    """0.05 and steps of 0.2 from it, in random order; those of the second array lie halfway between."""
    n = math.prod(shape)
    return ((rng.permutation(n) - n // 2) * 0.2 + 0.1 * position + 0.05).reshape(shape)


def few(rng: Any, shape: tuple[int, ...], position: int) -> Host:
    """-1, 0 or 1: ties are frequent."""
    return rng.integers(-1, 2, shape).astype(float)


def special(rng: Any, shape: tuple[int, ...], position: int) -> Host:
    """0, 1, nan and ±inf."""
    return rng.choice([0.0, 1.0, np.nan, np.inf, -np.inf], shape)


def chance(rng: Any, shape: tuple[int, ...], position: int) -> Host:
    """For a condition first: True or False; then ±[0.5, 2]."""
    return rng.random(shape) < 0.5 if position == 0 else signed(rng, shape, position)


def labelled(rng: Any, shape: tuple[int, ...], position: int) -> Host:
    """Scores, and True at one position along the last axis."""
    if position == 0:
        return signed(rng, shape, position)
    return rng.integers(0, max(shape[-1], 1), (*shape[:-1], 1)) == np.arange(shape[-1])


# Formulas
def sigmoid(x: Host) -> Host:
    """1 / (1 + e⁻ˣ)"""
    return 1 / (1 + np.exp(-x))


def softmax(x: Host, dim: int) -> Host:
    """eˣ / Σ eˣ"""
    return np.exp(x) / np.exp(x).sum(axis=dim, keepdims=True)


def logsumexp(x: Host, dim: int, keepdim: bool) -> Host:
    """log Σ eˣ"""
    return np.log(np.exp(x).sum(axis=dim, keepdims=keepdim))


def flatten(x: Host, start_dim: int, end_dim: int) -> Host:
    """The axes start_dim to end_dim made one."""
    end = end_dim % x.ndim + 1
    return x.reshape(*x.shape[:start_dim], -1, *x.shape[end:])


def scatter(x: Host, shape: tuple[int, ...], index: Any) -> Host:
    """0, and x added at index."""
    y = np.zeros(shape, x.dtype)
    np.add.at(y, index, x)
    return y


def linear(x: Host, w: Host, b: Host | float = 0) -> Host:
    """X Wᵀ + b"""
    return np.einsum("...i,oi->...o", x, w) + b


def binary_cross_entropy(x: Host, t: Host, p: Host | float = 1) -> Host:
    """-(p t log σ(x) + (1 - t) log σ(-x))"""
    return -(p * t * np.log(sigmoid(x)) + (1 - t) * np.log(sigmoid(-x)))


def softmax_cross_entropy(x: Host, truth: Host, dim: int, reduction: str) -> Host:
    """-log softmax(x) at the label: each, their sum, or their mean."""
    losses = -(truth * np.log(softmax(x, dim))).sum(axis=dim)
    return {"none": losses, "sum": losses.sum(), "mean": losses.mean()}[reduction]


def reduce(function: Callable[..., Host]) -> Callable[..., Host]:
    """A reduction of NumPy, called as ours are."""
    return lambda x, dim, keepdim: function(x, axis=dim, keepdims=keepdim)


class Case(NamedTuple):
    """How an op is checked: its formula, its inputs, its static arguments for a shape, what has no gradient."""

    formula: Callable[..., Host]
    draw: Callable[..., Host] = signed
    static: Callable[[tuple[int, ...]], list[dict[str, Any]]] = lambda shape: [{}]
    gradient: bool = True
    constant: tuple[int, ...] = ()  # positions of the arrays that have no gradient


def along(shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """Static arguments: the first axis, the last."""
    return [{"dim": 0}, {"dim": -1}]


def along_last(shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """Static arguments: the last axis; every reduction."""
    return [{"dim": -1, "reduction": reduction} for reduction in ("mean", "sum", "none")]


def axes(shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """Static arguments: all axes, one, two; kept or not."""
    return [{"dim": dim, "keepdim": keep} for dim in (None, 0, (0, -1)) for keep in (False, True)]


def axis(shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """Static arguments: one axis; kept or not."""
    return [{"dim": 1, "keepdim": False}, {"dim": -1, "keepdim": True}]


def indices(shape: tuple[int, ...]) -> list[Any]:
    """An axis taken away, elements picked twice, an axis reversed."""
    return [(slice(None), -1), np.array([0, 0, -1]), (0, slice(None, None, -1))]


CASES = {
    "add": Case(lambda x, w: x + w),
    "sub": Case(lambda x, w: x - w),
    "mul": Case(lambda x, w: x * w),
    "div": Case(lambda x, w: x / w),
    "neg": Case(lambda x: -x),
    "pow": Case(lambda x, p: np.exp(p * np.log(x)), positive),
    "exp": Case(np.exp),
    "log": Case(np.log, positive),
    "log1p": Case(lambda x: np.log(1 + x), positive),
    "sqrt": Case(np.sqrt, positive),
    "abs": Case(lambda x: np.where(x < 0, -x, x)),
    "maximum": Case(lambda x, w: np.where(x > w, x, w), apart),
    "minimum": Case(lambda x, w: np.where(x < w, x, w), apart),
    "where": Case(lambda c, x, w: c * x + (1 - c) * w, chance, constant=(0,)),
    "clip": Case(
        lambda x, min=-math.inf, max=math.inf: np.where(x < min, min, np.where(x > max, max, x)),
        apart,
        lambda shape: [{"min": -0.7, "max": 0.9}, {"min": 0.3}, {"max": 0.3}],
    ),
    "clone": Case(lambda x: x),
    "cast": Case(lambda x, dtype: x, static=lambda shape: [{"dtype": backend.float32}, {"dtype": backend.float64}]),
    "move": Case(lambda x, **devices: x, static=lambda shape: [{"device": None, "source": None}]),
    "ones_like": Case(lambda x: x * 0 + 1, gradient=False),
    "eq": Case(lambda x, w: (x - w) == 0, few, gradient=False),
    "ne": Case(lambda x, w: (x - w) != 0, few, gradient=False),
    "lt": Case(lambda x, w: (x - w) < 0, few, gradient=False),
    "le": Case(lambda x, w: (x - w) <= 0, few, gradient=False),
    "gt": Case(lambda x, w: (x - w) > 0, few, gradient=False),
    "ge": Case(lambda x, w: (x - w) >= 0, few, gradient=False),
    "isnan": Case(lambda x: x != x, special, gradient=False),
    "isfinite": Case(lambda x: np.abs(x) < math.inf, special, gradient=False),
    "argmax": Case(reduce(np.argmax), few, axis, gradient=False),
    "argmin": Case(reduce(np.argmin), few, axis, gradient=False),
    "relu": Case(lambda x: x * (x > 0)),
    "leaky_relu": Case(
        lambda x, negative_slope: x * (x > 0) + negative_slope * x * (x <= 0),
        static=lambda shape: [{"negative_slope": 0.01}, {"negative_slope": 0.3}],
    ),
    "sigmoid": Case(sigmoid),
    "tanh": Case(lambda x: 2 * sigmoid(2 * x) - 1),
    "softplus": Case(
        lambda x, beta: np.log(1 + np.exp(beta * x)) / beta, static=lambda shape: [{"beta": 1}, {"beta": 2}]
    ),
    "softmax": Case(softmax, static=along),
    "log_softmax": Case(lambda x, dim: np.log(softmax(x, dim)), static=along),
    "logsumexp": Case(logsumexp, static=axis),
    "sum": Case(reduce(np.sum), static=axes),
    "mean": Case(reduce(np.mean), static=axes),
    "amax": Case(reduce(np.amax), apart, axes),
    "amin": Case(reduce(np.amin), apart, axes),
    "reshape": Case(lambda x, shape: x.reshape(shape), static=lambda shape: [{"shape": (-1, shape[0])}]),
    "flatten": Case(flatten, static=lambda shape: [{"start_dim": 0, "end_dim": -1}, {"start_dim": 1, "end_dim": 2}]),
    "expand_dims": Case(lambda x, dim: np.expand_dims(x, dim), static=along),
    "squeeze": Case(
        lambda x, dim=None: x.reshape([n for n in x.shape if n > 1]),
        lambda rng, shape, i: signed(rng, (shape[0], 1, *shape[1:]), i),
        static=lambda shape: [{}],
    ),
    "transpose": Case(
        lambda x, dim0, dim1: np.swapaxes(x, dim0, dim1),
        static=lambda shape: [{"dim0": 0, "dim1": 2}, {"dim0": -1, "dim1": 1}],
    ),
    "permute": Case(lambda x, dims: x.transpose(dims), static=lambda shape: [{"dims": (1, 2, 0)}, {"dims": (2, 0, 1)}]),
    "broadcast_to": Case(lambda x, shape: np.zeros(shape) + x, static=lambda shape: [{"shape": (2, 3, *shape)}]),
    "getitem": Case(lambda x, index: x[index], static=lambda shape: [{"index": index} for index in indices(shape)]),
    "scatter": Case(
        scatter,
        static=lambda shape: [
            {"shape": (shape[0] + 2, *shape[1:]), "index": slice(1, shape[0] + 1)},
            {"shape": (2, *shape[1:]), "index": np.arange(shape[0]) % 2},
        ],
    ),
    "cat": Case(lambda *xs, dim: np.concatenate(xs, dim), static=along),
    "stack": Case(lambda *xs, dim: np.stack(xs, dim), static=along),
    "matmul": Case(np.matmul),
    "linear": Case(linear),
    "cross_entropy": Case(lambda x, q, dim: -(q * np.log(softmax(x, dim))).sum(axis=dim), positive, along),
    "softmax_cross_entropy": Case(softmax_cross_entropy, labelled, along_last, constant=(1,)),
    "nll_loss": Case(lambda x, q, dim: -(q * x).sum(axis=dim), positive, along),
    "mse_loss": Case(lambda x, t: (x - t) ** 2),
    "binary_cross_entropy_with_logits": Case(binary_cross_entropy, positive, constant=(2,)),
}

# At kinks and ties there is no slope to measure, but a convention, torch's: (inputs, static, the slope of each array).
CONVENTIONS: dict[str, tuple[list[list[float]], dict[str, Any], list[list[float]]]] = {
    "relu": ([[-0.0, 0.0]], {}, [[0, 0]]),
    "leaky_relu": ([[0.0]], {"negative_slope": 0.25}, [[0.25]]),
    "abs": ([[-0.0, 0.0]], {}, [[0, 0]]),
    "clip": ([[-1.0, 1.0]], {"min": -1, "max": 1}, [[1, 1]]),
    "maximum": ([[1.0], [1.0]], {}, [[0.5], [0.5]]),
    "minimum": ([[1.0], [1.0]], {}, [[0.5], [0.5]]),
    "amax": ([[1.0, 2.0, 2.0]], {}, [[0, 0.5, 0.5]]),
    "amin": ([[1.0, 2.0, 1.0]], {}, [[0.5, 0, 0.5]]),
    "pow": ([[0.0, 0.0], [0.0, 2.0]], {}, [[0, 0], [0, 0]]),
}


def shapes(signature: str, rng: Any, axes: int) -> list[tuple[int, ...]]:
    """Random shapes that fit a signature: "(n,k),(k,m)->(n,m)" with one axis more may give (2, 4, 3) and (1, 3, 2)."""
    parts = re.findall(r"\(([^)]*)\)", signature.split("->")[0])
    rest = [int(n) for n in rng.integers(2, 4, 3)]  # what "..." stands for
    loop = [] if "..." in signature else [int(n) for n in rng.integers(2, 4, axes)]  # axes that broadcast
    lengths: dict[str, int] = {}
    result = []
    for part in parts:
        shape = loop
        if len(parts) > 1:  # a loop axis may be missing in one array, or of size 1
            shape = [n if rng.random() < 0.7 else 1 for n in loop[int(rng.integers(0, axes + 1)) :]]
        for name in filter(None, part.split(",")):
            shape = shape + (rest if name == "..." else [lengths.setdefault(name, int(rng.integers(1, 5)))])
        result.append(tuple(shape))
    return result


def central(formula: Callable[..., Host], arrays: Sequence[Host], position: int, g: Host) -> Host:
    """The slopes of Σ g · formula for each element of one array, by central differences, extrapolated to h = 0."""
    slopes = np.zeros(arrays[position].shape, LONG)
    for i in range(slopes.size):
        estimates = []
        for h in (LONG(2.0**-7), LONG(2.0**-8), LONG(2.0**-9), LONG(2.0**-10)):
            sides = []
            for step in (-h, h):
                moved = [np.array(array) for array in arrays]
                moved[position].flat[i] += step
                sides.append((g * formula(*moved)).sum())
            estimates.append((sides[1] - sides[0]) / (2 * h))
        for power in (4, 16, 64):
            estimates = [(power * fine - coarse) / (power - 1) for coarse, fine in pairwise(estimates)]
        slopes.flat[i] = estimates[0]
    return slopes


def ulps(got: Host, expected: Host, dtype: Any, like: Sequence[Host]) -> float:
    """The largest error in ulp of the largest number among `expected` and `like`; inf where it is no number of ulps."""
    if got.shape != expected.shape:
        return math.inf
    if got.dtype.kind != "f":
        return 0.0 if bool((got == expected).all()) else math.inf
    largest = max(float(np.max(np.abs(array.astype(LONG)), initial=0.0)) for array in (expected, *like))
    error = float(np.max(np.abs(got - expected), initial=0.0)) / float(np.spacing(np.asarray(largest, dtype)))
    return math.inf if math.isnan(error) else error


def op_named(name: str) -> Op:
    """The Op behind a function of Tensors."""
    return OPS[name].op  # type: ignore[attr-defined]


@dataclass
class Row:
    """What was found of one op: the worst error of value and gradient in each dtype, in ulp, and the verdict."""

    name: str
    errors: dict[tuple[str, str], float]
    verdict: str = "ok"

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return self.verdict == "ok"


class Example(NamedTuple):
    """One call of an op, what its value should be, and what the gradient of each array, from the cotangent g."""

    arrays: list[Host]
    static: dict[str, Any]
    value: Host | None  # None where only the gradient is told
    g: Host
    gradients: list[Host | None]


def single(array: Host) -> Host:
    """Numbers that float32 holds exactly, so that all dtypes get the same; bool stays."""
    array = np.asarray(array)
    return array if array.dtype == bool else array.astype(np.float32)


def examples(name: str, rng: Any) -> Iterator[Example]:
    """Drawn calls of an op, and one at its kinks and ties."""
    case, op = CASES[name], op_named(name)
    for i in range(EXAMPLES):
        drawn = shapes(op.signature, rng, 2 - i % 3) * (3 if op.variadic else 1)
        arrays = [single(case.draw(rng, shape, i)) for i, shape in enumerate(drawn)]
        long = [array if array.dtype == bool else array.astype(LONG) for array in arrays]
        for static in case.static(drawn[0]):
            formula = lambda *xs, static=static: case.formula(*xs, **static)
            value = np.asarray(formula(*long))
            g = single(signed(rng, value.shape, 0))
            moving = [i for i in range(len(long)) if case.gradient and i not in case.constant]
            found = [central(formula, long, i, g) if i in moving else None for i in range(len(long))]
            yield Example(arrays, static, value, g, found)
    if name in CONVENTIONS:
        inputs, static, slopes = CONVENTIONS[name]
        g = np.asarray(3.0) if name in ("amax", "amin") else np.full(np.shape(slopes[0]), 3.0)
        yield Example(
            [single(array) for array in inputs], static, None, g, [np.asarray(slope) * 3.0 for slope in slopes]
        )


def check_op(name: str, dtypes: Sequence[Any], device: backend.device, rng: Any) -> Row:
    """Run the examples of one op in each dtype on a device."""
    row = Row(name, {(str(dtype), side): 0.0 for dtype in dtypes for side in SIDES})
    if name not in CASES:
        row.verdict = "no case: add one to minigrad.testing.selftest.CASES"
        return row
    try:
        for example in examples(name, rng):
            for dtype in dtypes:
                run(row, example, dtype, device)
    except Exception as error:  # whatever an op does is its verdict
        row.verdict = f"raised {type(error).__name__}: {error}"
    return row


def run(row: Row, example: Example, dtype: Any, device: backend.device) -> None:
    """One example in one dtype: enter its errors, and the verdict if one is too large."""

    def place(array: Host) -> Tensor:
        return Tensor(library.from_host(array if array.dtype == bool else array.astype(dtype)))

    library = backend.library(device)
    leaves = [place(array).requires_grad_(g is not None) for array, g in zip(example.arrays, example.gradients)]
    static = {
        key: library.from_host(value) if isinstance(value, np.ndarray) else device if row.name == "move" else value
        for key, value in example.static.items()
    }
    output = OPS[row.name](*leaves, **static)
    coarse = min(dtype, output.dtype, key=lambda dtype: dtype.itemsize) if output.dtype.kind == "f" else dtype
    if example.value is not None:
        note(row, "value", ulps(library.to_host(output.array), example.value, coarse, example.arrays), dtype, "value")
    wanted = [(i, leaf) for i, leaf in enumerate(leaves) if leaf.requires_grad]
    if not wanted:
        return
    g = Tensor(library.from_host(example.g.astype(output.dtype)))
    for (i, _), found in zip(wanted, grad(output, [leaf for _, leaf in wanted], g)):
        assert found is not None
        expected = example.gradients[i]
        names = op_named(row.name).array_names
        what = f"gradient of {names[i] if names else f'array {i}'}"
        note(row, "gradient", ulps(library.to_host(found.array), expected, coarse, [example.g]), dtype, what)


def note(row: Row, side: str, error: float, dtype: Any, what: str) -> None:
    """Enter an error, and the verdict if it is too large."""
    key = (str(dtype), side)
    row.errors[key] = max(row.errors[key], error)
    if error > limit(dtype) and row.passed:
        row.verdict = f"WRONG {what}"


def limit(dtype: Any) -> float:
    """How many ulp may be rounding: ours, and that of the measured slopes, which counts where `longdouble` is short."""
    return LIMIT + 2**13 * float(np.finfo(LONG).eps / np.finfo(dtype).eps)


def table(names: Sequence[str], dtypes: Sequence[Any], device: backend.device, seed: int = 0) -> Iterator[Row]:
    """A Row for each of these ops."""
    for position, name in enumerate(names):
        yield check_op(name, dtypes, device, backend.random.new_generator(seed, position))
