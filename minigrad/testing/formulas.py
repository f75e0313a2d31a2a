"""The formula of every op, written once more, and the inputs to try it on.

A formula is a function of an array namespace `xp` and arrays, as the body of an op is, but nothing in it is done for
speed or against overflow. With NumPy's extended precision as `xp` it is the reference of `python -m minigrad check`.
With minigrad's own ops as `xp` it is the composition of smaller ops which a fused op must agree with.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from .. import backend

np = backend.numpy
Host = Any  # a NumPy array
Shape = tuple[int, ...]


# Inputs, away from kinks and from the edges of domains
def signed(rng: Any, shape: Shape, position: int) -> Host:
    """±[0.5, 2]"""
    return rng.uniform(0.5, 2, shape) * rng.choice([-1, 1], shape)


def positive(rng: Any, shape: Shape, position: int) -> Host:
    """[0.5, 2]"""
    return rng.uniform(0.5, 2, shape)


def distinct(rng: Any, shape: Shape, position: int) -> Host:
    """0.05 and steps of 0.2 from it, shuffled; those of the second array lie halfway between."""
    n = math.prod(shape)
    return ((rng.permutation(n) - n // 2) * 0.2 + 0.1 * position + 0.05).reshape(shape)


def tied(rng: Any, shape: Shape, position: int) -> Host:
    """-1, 0 or 1"""
    return rng.integers(-1, 2, shape).astype(float)


def special(rng: Any, shape: Shape, position: int) -> Host:
    """0, 1, nan and ±inf"""
    return rng.choice([0.0, 1.0, np.nan, np.inf, -np.inf], shape)


def conditional(rng: Any, shape: Shape, position: int) -> Host:
    """First a condition, then ±[0.5, 2]"""
    return rng.random(shape) < 0.5 if position == 0 else signed(rng, shape, position)


def one_hot(rng: Any, shape: Shape, position: int) -> Host:
    """First scores, then True at one position along the last axis"""
    if position == 0:
        return signed(rng, shape, position)
    return rng.integers(0, max(shape[-1], 1), (*shape[:-1], 1)) == np.arange(shape[-1])


def with_an_axis_of_1(rng: Any, shape: Shape, position: int) -> Host:
    """±[0.5, 2], with one more axis"""
    return signed(rng, (shape[0], 1, *shape[1:]), position)


# Options for a shape of three axes
Options = list[dict[str, Any]]


def no_options(shape: Shape) -> Options:
    """None"""
    return [{}]


def first_or_last_dim(shape: Shape) -> Options:
    """The first axis, the last"""
    return [{"dim": 0}, {"dim": -1}]


def one_dim(shape: Shape) -> Options:
    """One axis, kept or not"""
    return [{"dim": 1, "keepdim": False}, {"dim": -1, "keepdim": True}]


def dims(shape: Shape) -> Options:
    """All axes, one, two; kept or not"""
    return [{"dim": dim, "keepdim": keep} for dim in (None, 0, (0, -1)) for keep in (False, True)]


def reductions(shape: Shape) -> Options:
    """The last axis, with every reduction"""
    return [{"dim": -1, "reduction": reduction} for reduction in ("mean", "sum", "none")]


def indices(shape: Shape) -> Options:
    """An axis dropped, elements selected twice, an axis reversed"""
    return [{"index": index} for index in ((slice(None), -1), np.array([0, 0, -1]), (0, slice(None, None, -1)))]


def scattered(shape: Shape) -> Options:
    """A slice of a longer axis, two rows that get several each"""
    return [
        {"shape": (shape[0] + 2, *shape[1:]), "index": slice(1, shape[0] + 1)},
        {"shape": (2, *shape[1:]), "index": np.arange(shape[0]) % 2},
    ]


def only(*options: dict[str, Any]) -> Callable[[Shape], Options]:
    """These, for every shape"""
    return lambda shape: list(options)


# Formulas
def sigmoid(xp: Any, x: Any) -> Any:
    """1 / (1 + e⁻ˣ)"""
    return 1 / (1 + xp.exp(-x))


def softmax(xp: Any, x: Any, dim: int) -> Any:
    """eˣ / Σ eˣ"""
    return xp.exp(x) / xp.sum(xp.exp(x), axis=dim, keepdims=True)


def logsumexp(xp: Any, x: Any, dim: int, keepdim: bool = False) -> Any:
    """log Σ eˣ"""
    return xp.log(xp.sum(xp.exp(x), axis=dim, keepdims=keepdim))


def cross_entropy(xp: Any, x: Any, q: Any, dim: int = 1) -> Any:
    """-Σ q log softmax(x)"""
    return -xp.sum(q * xp.log(softmax(xp, x, dim)), axis=dim)


def softmax_cross_entropy(xp: Any, x: Any, one_hot: Any, dim: int = 1, reduction: str = "mean") -> Any:
    """-log softmax(x) at the label: each, their sum, or their mean"""
    losses = cross_entropy(xp, x, one_hot, dim)
    return {"none": lambda: losses, "sum": lambda: xp.sum(losses), "mean": lambda: xp.mean(losses)}[reduction]()


def binary_cross_entropy(xp: Any, x: Any, t: Any, pos_weight: Any = 1) -> Any:
    """-(p t log σ(x) + (1 - t) log σ(-x))"""
    return -(pos_weight * t * xp.log(sigmoid(xp, x)) + (1 - t) * xp.log(sigmoid(xp, -x)))


def linear(xp: Any, x: Any, w: Any, b: Any = None) -> Any:
    """X Wᵀ + b"""
    y = x @ w.T
    return y if b is None else y + b


def mean(xp: Any, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Σ x / n"""
    y = xp.sum(x, axis=dim, keepdims=keepdim)
    return y * (math.prod(y.shape) / math.prod(x.shape))


def softplus(xp: Any, x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + e^βx) / β, and x where βx > threshold"""
    return xp.where(beta * x > threshold, x, xp.log(1 + xp.exp(beta * x)) / beta)


def flatten(xp: Any, x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """The axes start_dim to end_dim made one"""
    end = end_dim % x.ndim + 1
    return x.reshape((*x.shape[:start_dim], -1, *x.shape[end:]))


def scatter(xp: Any, x: Any, shape: Shape, index: Any) -> Any:
    """0, and x added at index"""
    y = xp.zeros(shape, x.dtype)
    xp.add.at(y, index, x)
    return y


def clip(xp: Any, x: Any, min: float = -math.inf, max: float = math.inf) -> Any:
    """x between min and max"""
    return xp.where(x < min, min, xp.where(x > max, max, x))


def reduced(name: str) -> Callable[..., Any]:
    """The reduction of this name"""
    return lambda xp, x, dim, keepdim: getattr(xp, name)(x, axis=dim, keepdims=keepdim)


def erf_series(xp: Any, x: Any) -> Any:
    """2/√π e^(-x²) Σ 2ⁿ x²ⁿ⁺¹ / (1 · 3 · ... · (2n + 1))"""
    term = total = x
    for n in range(1, 60):
        term = term * x * x * 2 / (2 * n + 1)
        total = total + term
    return 2 * total * xp.exp(-x * x) / xp.sqrt(xp.pi + 0 * x)


class Formula(NamedTuple):
    """How an op is checked.

    value           its formula, `value(xp, *arrays, **options)`
    draw            draws one of its arrays: `draw(rng, shape, position)`
    options         lists its options for the shape of the first array
    differentiable  whether it has gradients
    constant        positions of the arrays that have none
    fused           the op computes in one piece what the formula composes of several ops
    """

    value: Callable[..., Any]
    draw: Callable[..., Host] = signed
    options: Callable[[Shape], Options] = no_options
    differentiable: bool = True
    constant: tuple[int, ...] = ()
    fused: bool = False


FORMULAS = {
    # Arithmetic
    "add": Formula(lambda xp, a, b: a + b),
    "sub": Formula(lambda xp, a, b: a - b),
    "mul": Formula(lambda xp, a, b: a * b),
    "div": Formula(lambda xp, a, b: a / b),
    "neg": Formula(lambda xp, x: -x),
    "pow": Formula(lambda xp, x, p: xp.exp(p * xp.log(x)), positive),
    # Elementwise
    "exp": Formula(lambda xp, x: xp.exp(x)),
    "log": Formula(lambda xp, x: xp.log(x), positive),
    "log1p": Formula(lambda xp, x: xp.log(1 + x), positive),
    "sqrt": Formula(lambda xp, x: xp.sqrt(x), positive),
    "abs": Formula(lambda xp, x: xp.where(x < 0, -x, x)),
    "maximum": Formula(lambda xp, a, b: xp.where(a > b, a, b), distinct),
    "minimum": Formula(lambda xp, a, b: xp.where(a < b, a, b), distinct),
    "where": Formula(lambda xp, c, a, b: c * a + (1 - c) * b, conditional, constant=(0,)),
    "div_rounded": Formula(
        lambda xp, a, b, rounding_mode: xp.trunc(a / b) - (rounding_mode == "floor") * (a / b < xp.trunc(a / b)),
        options=only({"rounding_mode": "floor"}, {"rounding_mode": "trunc"}),
        differentiable=False,
    ),
    "clip": Formula(clip, distinct, only({"min": -0.7, "max": 0.9}, {"min": 0.3}, {"max": 0.3})),
    "sin": Formula(lambda xp, x: xp.sin(x)),
    "cos": Formula(lambda xp, x: xp.sin(x + math.pi / 2)),
    "erf": Formula(erf_series),
    "floor": Formula(lambda xp, x: -xp.ceil(-x), differentiable=False),
    "round": Formula(
        lambda xp, x, decimals: xp.round(x * 10**decimals) / 10**decimals,
        options=only({"decimals": 0}, {"decimals": 2}),
        differentiable=False,
    ),
    # Order
    "cumsum": Formula(lambda xp, x, dim: xp.cumsum(x, axis=dim), options=first_or_last_dim),
    "argsort": Formula(
        lambda xp, x, dim, descending: xp.argsort(-x if descending else x, axis=dim, kind="stable"),
        tied,
        only({"dim": 0, "descending": False}, {"dim": -1, "descending": True}),
        differentiable=False,
    ),
    "clone": Formula(lambda xp, x: x),
    "cast": Formula(lambda xp, x, dtype: x, options=only({"dtype": backend.float32}, {"dtype": backend.float64})),
    "move": Formula(lambda xp, x, device, source: x, options=only({"device": None, "source": None})),
    # Comparison
    "ones_like": Formula(lambda xp, x: x * 0 + 1, differentiable=False),
    "eq": Formula(lambda xp, a, b: (a - b) == 0, tied, differentiable=False),
    "ne": Formula(lambda xp, a, b: (a - b) != 0, tied, differentiable=False),
    "lt": Formula(lambda xp, a, b: (a - b) < 0, tied, differentiable=False),
    "le": Formula(lambda xp, a, b: (a - b) <= 0, tied, differentiable=False),
    "gt": Formula(lambda xp, a, b: (a - b) > 0, tied, differentiable=False),
    "ge": Formula(lambda xp, a, b: (a - b) >= 0, tied, differentiable=False),
    "isnan": Formula(lambda xp, x: x != x, special, differentiable=False),
    "isfinite": Formula(lambda xp, x: xp.abs(x) < math.inf, special, differentiable=False),
    "argmax": Formula(reduced("argmax"), tied, one_dim, differentiable=False),
    "argmin": Formula(reduced("argmin"), tied, one_dim, differentiable=False),
    # Activation
    "relu": Formula(lambda xp, x: x * (x > 0)),
    "leaky_relu": Formula(
        lambda xp, x, negative_slope=0.01: x * (x > 0) + negative_slope * x * (x <= 0),
        options=only({"negative_slope": 0.01}, {"negative_slope": 0.3}),
    ),
    "sigmoid": Formula(sigmoid, fused=True),
    "tanh": Formula(lambda xp, x: 2 * sigmoid(xp, 2 * x) - 1, fused=True),
    "softplus": Formula(softplus, options=only({"beta": 1}, {"beta": 2}), fused=True),
    "softmax": Formula(softmax, options=first_or_last_dim, fused=True),
    "log_softmax": Formula(lambda xp, x, dim: xp.log(softmax(xp, x, dim)), options=first_or_last_dim, fused=True),
    "logsumexp": Formula(logsumexp, options=one_dim, fused=True),
    # Reduction
    "sum": Formula(reduced("sum"), options=dims),
    "mean": Formula(mean, options=dims, fused=True),
    "amax": Formula(reduced("amax"), distinct, dims),
    "amin": Formula(reduced("amin"), distinct, dims),
    # Shape
    "reshape": Formula(lambda xp, x, shape: x.reshape(shape), options=lambda shape: [{"shape": (-1, shape[0])}]),
    "flatten": Formula(flatten, options=only({"start_dim": 0, "end_dim": -1}, {"start_dim": 1, "end_dim": 2})),
    "expand_dims": Formula(lambda xp, x, dim: xp.expand_dims(x, dim), options=first_or_last_dim),
    "squeeze": Formula(lambda xp, x, dim=None: x.reshape(tuple(n for n in x.shape if n > 1)), with_an_axis_of_1),
    "transpose": Formula(
        lambda xp, x, dim0, dim1: xp.swapaxes(x, dim0, dim1),
        options=only({"dim0": 0, "dim1": 2}, {"dim0": -1, "dim1": 1}),
    ),
    "permute": Formula(
        lambda xp, x, dims: xp.transpose(x, dims), options=only({"dims": (1, 2, 0)}, {"dims": (2, 0, 1)})
    ),
    "broadcast_to": Formula(
        lambda xp, x, shape: xp.zeros(shape) + x, options=lambda shape: [{"shape": (2, 3, *shape)}]
    ),
    "getitem": Formula(lambda xp, x, index: x[index], options=indices),
    "scatter": Formula(scatter, options=scattered),
    "cat": Formula(lambda xp, *xs, dim: xp.concatenate(xs, axis=dim), options=first_or_last_dim),
    "stack": Formula(lambda xp, *xs, dim: xp.stack(xs, axis=dim), options=first_or_last_dim),
    # Linear algebra and losses
    "matmul": Formula(lambda xp, a, b: a @ b),
    "linear": Formula(linear, fused=True),
    "cross_entropy": Formula(cross_entropy, positive, first_or_last_dim, fused=True),
    "softmax_cross_entropy": Formula(softmax_cross_entropy, one_hot, reductions, constant=(1,), fused=True),
    "nll_loss": Formula(lambda xp, x, q, dim=1: -xp.sum(q * x, axis=dim), positive, first_or_last_dim, fused=True),
    "mse_loss": Formula(lambda xp, x, t: (x - t) ** 2, fused=True),
    "binary_cross_entropy_with_logits": Formula(binary_cross_entropy, positive, constant=(2,), fused=True),
}

# At kinks and ties there is no slope to measure but torch's convention: (inputs, options, the slope of each array).
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
