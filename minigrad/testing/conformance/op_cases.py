"""The ops by the names that adapters use: the formula of each, and the calls of it that are tried."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from hypothesis import strategies as st

from ... import backend
from ..formulas import FORMULAS, Host, Shape

np = backend.numpy
Draw = Callable[[Any], Any]  # of hypothesis: an example of a strategy
Shapes = tuple[Shape, ...]


class Call(NamedTuple):
    """One call of an op: arrays that get gradients, options, and the cotangent g = dL/dy of a given shape."""

    op: str
    arrays: list[Host]
    options: dict[str, Any]
    seed: int

    def __str__(self) -> str:
        shown = [written(array) for array in self.arrays]
        options = [f"{name}={written(option)}" for name, option in self.options.items()]
        return f"{self.op}({', '.join(shown + options)})"

    @property
    def size(self) -> int:
        """How much there is to read: elements and axes; an empty array counts as large."""
        return sum(array.size + array.ndim + 1000 * (array.size == 0) for array in self.arrays)

    def cotangent(self, shape: Shape) -> Host:
        """The g of this call."""
        return numbers(shape, False, self.seed, 2)


def written(value: Any) -> str:
    """An array as its elements; of an empty one the shape. Others as Python writes them."""
    if isinstance(value, np.ndarray):
        if not value.size:
            return f"empty{value.shape}"
        return str(value.tolist()) if value.size <= 24 else f"array{value.shape}"
    return "..." if value is Ellipsis else repr(value)


def numbers(shape: Shape, positive: bool, seed: int, position: int = 0) -> Host:
    """Distinct numbers from 0.5 on, in eighths, shuffled by the seed; those of later positions lie in between.

    They are short to read, exact in float32, away from kinks, and not equal to each other.
    """
    n = math.prod(shape)
    rng = backend.random.new_generator(seed, position)
    order = rng.permutation(n) if seed else np.arange(n)
    signs = 1.0 if positive else np.where(order % 2 == position % 2, 1.0, -1.0)
    return ((0.5 + order / 8 + position / 16) * signs).reshape(shape)


# Shapes
SIZES = st.sampled_from((1, 2, 3))
SIZES_WITH_0 = st.sampled_from((0, 1, 2))


def any_shape(draw: Draw, least: int = 0) -> Shape:
    """Up to three axes."""
    return tuple(draw(SIZES) for _ in range(draw(st.integers(least, 3))))


def one(draw: Draw) -> Shapes:
    """One array of any shape."""
    return (any_shape(draw),)


def one_with_axes(draw: Draw) -> Shapes:
    """One array that is not 0-d."""
    return (any_shape(draw, 1),)


def pair(draw: Draw) -> Shapes:
    """Two arrays that broadcast: each has some of the axes of the result, and some of them with size 1."""
    shape = any_shape(draw)

    def operand() -> Shape:
        first = draw(st.integers(0, len(shape)))
        return tuple(1 if draw(st.booleans()) else n for n in shape[first:])

    return operand(), operand()


def matrices(draw: Draw) -> Shapes:
    """Two matrices (n, k) and (k, m)."""
    n, k, m = (draw(SIZES) for _ in range(3))
    return (n, k), (k, m)


def with_vectors(draw: Draw) -> Shapes:
    """A vector and a matrix, a matrix and a vector, two vectors."""
    (n, k), (_, m) = matrices(draw)
    return draw(st.sampled_from((((k,), (k, m)), ((n, k), (k,)), ((k,), (k,)))))


def batches(draw: Draw) -> Shapes:
    """Batches of matrices that broadcast, and batches with a vector."""
    (n, k), (_, m) = matrices(draw)
    a, b = (batch[-2:] for batch in pair(draw))
    batch = (draw(SIZES), *a[:1])
    return draw(st.sampled_from((((*a, n, k), (*b, k, m)), ((*batch, n, k), (k,)), ((k,), (*batch, k, m)))))


PRODUCTS = {"matrices": matrices, "vectors": with_vectors, "batches": batches}


def layer(draw: Draw) -> Shapes:
    """x (..., i), w (o, i) and b (o)."""
    i, o = draw(SIZES), draw(SIZES)
    return (*any_shape(draw, 1)[:2], i), (o, i), (o,)


def same(draw: Draw) -> Shapes:
    """Two arrays of one shape."""
    return (any_shape(draw, 1),) * 2


def scores(draw: Draw) -> Shapes:
    """(N, C), with two or three classes."""
    return ((draw(SIZES), draw(st.integers(2, 3))),)


# Options, for the shapes of the arrays
Options = dict[str, Any]


def no_options(draw: Draw, *shapes: Shape) -> Options:
    """None."""
    return {}


def chosen(name: str, *values: Any) -> Callable[..., Options]:
    """One of these."""
    return lambda draw, *shapes: {name: draw(st.sampled_from(values))}


def axis_of(draw: Draw, shape: Shape, more: int = 0) -> int:
    """An axis, from the front or from the end."""
    n = len(shape) + more
    return draw(st.integers(-n, n - 1))


def one_axis(draw: Draw, shape: Shape, *_: Shape) -> Options:
    """An axis."""
    return {"dim": axis_of(draw, shape)}


def axes(draw: Draw, shape: Shape) -> Options:
    """No axis (all), one, or two; kept or not."""
    kinds = ["all"] + ["one"] * (len(shape) > 0) + ["two"] * (len(shape) > 1)
    kind = draw(st.sampled_from(kinds))
    dim: Any = None if kind == "all" else axis_of(draw, shape)
    if kind == "two":
        n = len(shape)
        other = draw(st.integers(0, n - 1).filter(lambda other: other != dim % n))
        dim = (dim, other)
    return {"dim": dim, "keepdim": draw(st.booleans())}


def one_axis_kept(draw: Draw, shape: Shape) -> Options:
    """One axis; kept or not."""
    return {"dim": axis_of(draw, shape), "keepdim": draw(st.booleans())}


def new_shapes(draw: Draw, shape: Shape) -> Options:
    """Flat, with one axis more, or with the sizes in reverse."""
    return {"shape": draw(st.sampled_from(((math.prod(shape),), (1, *shape), shape[::-1])))}


def permutations(draw: Draw, shape: Shape) -> Options:
    """An order of the axes."""
    return {"dims": tuple(draw(st.permutations(range(len(shape)))))}


def two_axes(draw: Draw, shape: Shape) -> Options:
    """Two axes."""
    return {"dim0": axis_of(draw, shape), "dim1": axis_of(draw, shape)}


def wider(draw: Draw, shape: Shape) -> Options:
    """More axes in front, and axes of size 1 stretched."""
    front = draw(st.sampled_from(((), (2,), (1, 2))))
    return {"shape": (*front, *(draw(st.sampled_from((1, 3))) if n == 1 else n for n in shape))}


def indices(draw: Draw, shape: Shape) -> Options:
    """An element of the first axis, a slice, one of the last axis, elements selected several times."""
    n = shape[0]
    repeated = np.array(draw(st.lists(st.integers(-n, n - 1), min_size=1, max_size=3)))
    simple = [0, n - 1, slice(1, None), slice(None, None, 2), (slice(None),) * (len(shape) - 1) + (0,)]
    return {"index": draw(st.sampled_from([*simple, repeated]))}


def conditions(draw: Draw, *shapes: Shape) -> Options:
    """A bool array of the shape of the result."""
    shape = np.broadcast_shapes(*shapes)
    rng = backend.random.new_generator(draw(st.integers(0, 9)))
    return {"condition": rng.random(shape) < 0.5}


def labels(draw: Draw, shape: Shape) -> Options:
    """A class for each row."""
    return {"labels": np.array([draw(st.integers(0, shape[1] - 1)) for _ in range(shape[0])])}


def targets(draw: Draw, shape: Shape) -> Options:
    """A target in [0, 1] for each score."""
    return {"targets": (numbers(shape, True, draw(st.integers(0, 3))) / 8).clip(0, 1)}


# Formulas beside those of minigrad's own ops
def formula_of(name: str) -> Callable[..., Any]:
    """The formula of this op, in extended precision."""
    return lambda *arrays, **options: FORMULAS[name].value(np, *arrays, **options)


def where(a: Host, b: Host, condition: Host) -> Host:
    """a where the condition holds, else b."""
    return FORMULAS["where"].value(np, condition, a, b)


def cross_entropy(x: Host, labels: Host) -> Host:
    """The mean over the rows of -log softmax(x) at the label."""
    one_hot = np.asarray(labels)[:, None] == np.arange(x.shape[1])
    return FORMULAS["softmax_cross_entropy"].value(np, x, one_hot)


def binary_cross_entropy(x: Host, targets: Host) -> Host:
    """The mean of -(t log σ(x) + (1 - t) log σ(-x))."""
    return FORMULAS["binary_cross_entropy_with_logits"].value(np, x, targets).mean()


class OpCases(NamedTuple):
    """How an op is called.

    formula   its value in extended precision, `formula(*arrays, **options)`
    shapes    draws the shapes of its arrays
    options   draws its options, for these shapes
    positive  whether its arrays have to be positive
    call      calls the engine's op with tensors and options
    """

    formula: Callable[..., Host]
    shapes: Callable[[Draw], Shapes] = one
    options: Callable[..., Options] = no_options
    positive: bool = False
    call: Callable[..., Any] = lambda op, xs, options: op(*xs, *options)


def op_table() -> Iterator[tuple[str, OpCases]]:
    """The rows of OP_CASES."""
    for name in ("add", "sub", "mul", "div", "maximum", "minimum"):
        yield name, OpCases(formula_of(name), pair, positive=name == "div")
    for name in ("neg", "exp", "log", "sqrt", "tanh", "sigmoid", "relu", "abs", "softplus"):
        yield name, OpCases(formula_of(name), positive=name in ("log", "sqrt"))
    powers = chosen("p", 2, 3, 1, -1, 0.5)
    yield "pow", OpCases(formula_of("pow"), one, powers, positive=True)
    bounds = lambda draw, shape: {"min": -0.7, "max": 0.9}
    yield "clip", OpCases(formula_of("clip"), one, bounds)
    condition_first = lambda op, xs, options: op(*options, *xs)
    yield "where", OpCases(where, pair, conditions, call=condition_first)
    for name in ("sum", "mean", "amax", "amin"):
        yield name, OpCases(formula_of(name), one, axes)
    yield "prod", OpCases(lambda x, dim, keepdim: np.prod(x, axis=dim, keepdims=keepdim), one, axes)
    yield "logsumexp", OpCases(formula_of("logsumexp"), one_with_axes, one_axis_kept)
    for name in ("softmax", "log_softmax"):
        yield name, OpCases(formula_of(name), one_with_axes, one_axis)
    yield "reshape", OpCases(formula_of("reshape"), one, new_shapes)
    yield "transpose", OpCases(formula_of("transpose"), one_with_axes, two_axes)
    yield "permute", OpCases(formula_of("permute"), one_with_axes, permutations)
    yield "expand_dims", OpCases(formula_of("expand_dims"), one, lambda draw, shape: {"dim": axis_of(draw, shape, 1)})
    yield "broadcast_to", OpCases(formula_of("broadcast_to"), one, wider)
    yield "getitem", OpCases(formula_of("getitem"), one_with_axes, indices)
    together = lambda op, xs, options: op(list(xs), *options)
    for name in ("cat", "stack"):
        yield name, OpCases(formula_of(name), same, one_axis, call=together)
    yield "matmul", OpCases(formula_of("matmul"), matrices)
    yield "linear", OpCases(formula_of("linear"), layer)
    yield "cross_entropy", OpCases(cross_entropy, scores, labels)
    yield "mse_loss", OpCases(lambda x, t: FORMULAS["mse_loss"].value(np, x, t).mean(), same)
    yield "binary_cross_entropy_with_logits", OpCases(binary_cross_entropy, one_with_axes, targets)


OP_CASES = dict(op_table())


def draw_call(
    draw: Draw, op: str, shapes: Callable[[Draw], Shapes] | None = None, empty: bool = False, dtype: str = "float64"
) -> Call:
    """A call of an op, with `shapes` instead of its own; `empty`: sizes may be 0."""
    cases = OP_CASES[op]
    drawn = (shapes or cases.shapes)((lambda s: draw(SIZES_WITH_0 if s is SIZES else s)) if empty else draw)
    options = cases.options(draw, *drawn)
    seed = draw(st.integers(0, 20))
    arrays = [numbers(shape, cases.positive, seed, i).astype(dtype) for i, shape in enumerate(drawn)]
    return Call(op, arrays, options, seed)
