"""torch's function for each op, and the calls in which the op is compared with it.

A new op needs a row in REFERENCES, beside its row in minigrad/testing/formulas.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

try:
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(1)
except ModuleNotFoundError:  # then values are compared with minigrad/testing/formulas.py
    torch = F = None

import minigrad as mg

Draw = Callable[[st.SearchStrategy[Any]], Any]
Shapes = list[Any]  # for each argument its shape, NUMBER for a Python number, None where it is left out
NUMBER = "number"

# Values at which formulas break: zeros, subnormals, numbers whose products over- and underflow, inf and nan.
ODD = (0.0, -0.0, 5e-324, -1e-40, 1e-30, -1e-30, 1e30, -1e30, 1e4, -1e4, 1.0, -1.0, 2.5, 88.5, -103.0)
NOT_FINITE = (float("inf"), float("-inf"), float("nan")) * 3  # about as frequent as all others together
LOGITS = (1e4, -1e4, 0.0, -0.0, 1.0, 30.0, -30.0, 88.5, -103.0, 1e-30)
MASKED = (*LOGITS, float("-inf"))
HUGE = (1e15, 1e-15, 0.0, 1.0)  # of one sign: where huge products cancel, float32 has no correct digit
PARTS = (0.0, 1.0, 0.5)


@dataclass(frozen=True)
class Reference:
    """torch's function, and the calls in which the op is compared with it.

    Attributes:
        torch: the same function of torch's tensors.
        domain: the domains of arrays, by name: "real", "positive", "nonzero", "above -1", "part" (0 to 1), "bool",
            "one-hot" (bool, one True along `dim`).
        odd: the values of the extreme cases, for all arrays or by name; if empty, there are no such cases.
        arguments: draws shapes and options; None if the shapes follow from the op's signature.
        options: draws the options for given shapes.
        numbers: whether one operand may be a Python number.
        relative: whether each element is right to a few units in its last place, whatever its size. Otherwise (sums,
            and formulas that subtract) errors are measured against the largest number of the case.
        kinks: whether the gradient is discontinuous somewhere.
        linear: whether the gradient is the same at all x.
        gradient: whether the op is differentiable.
        torch_multiplies: whether torch's VJP multiplies where minigrad's selects, so inf · 0 is NaN in torch only.
    """

    torch: Callable[..., Any]
    domain: Mapping[str, str] = field(default_factory=dict)
    odd: Any = (*ODD, *NOT_FINITE)
    arguments: Callable[[Draw, str], tuple[Shapes, dict[str, Any]]] | None = None
    options: Callable[[Draw, Shapes], dict[str, Any]] = lambda draw, shapes: {}
    numbers: bool = False
    relative: bool = True
    kinks: bool = False
    linear: bool = False
    gradient: bool = True
    torch_multiplies: bool = False


# Shapes
size = st.sampled_from((2, 3, 1, 2, 3, 4, 0))
positive_size = st.sampled_from((2, 3, 1, 2, 3, 4))
# Past the sizes at which an implementation may change its method: 256 rows or classes, 1,024 and 4,096 elements, 5 axes
LARGE = (
    *((300,), (1100,), (4200,), (300, 14), (14, 300), (1100, 2), (2, 2050), (257, 3), (300, 2, 7), (2, 2, 1100)),
    *((2, 2, 3, 300), (2, 3, 2, 1, 2), (2, 2, 2, 2, 2), (1, 2, 300, 1, 7), (2, 1, 2, 3, 2, 1), (2, 2, 2, 2, 2, 2)),
)


class DrawLarge:
    """Hypothesis's `draw`, for cases whose shapes are large."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw

    def __call__(self, strategy: st.SearchStrategy[Any]) -> Any:
        return self.draw(strategy)


def shape(draw: Draw, least: int = 0, most: int = 4, sizes: st.SearchStrategy[int] = size) -> tuple[int, ...]:
    """A shape; often with axes of equal length, for which shapes do not show a wrong order of axes."""
    if isinstance(draw, DrawLarge) and most >= 3:
        return draw(st.sampled_from(LARGE))
    ndim = draw(st.integers(least, most))
    if draw(st.integers(0, 3)) == 0:
        return (draw(positive_size),) * ndim
    return tuple(draw(sizes) for _ in range(ndim))


def an_axis(draw: Draw, ndim: int) -> int:
    return draw(st.integers(-ndim, ndim - 1))


def some_axes(draw: Draw, ndim: int) -> Any:
    """None, one axis or several, counted from either end."""
    how = draw(st.sampled_from(("one", "several", "none"))) if ndim else "none"
    if how == "none":
        return None
    if how == "one":
        return an_axis(draw, ndim)
    chosen = draw(st.lists(st.integers(0, ndim - 1), min_size=1, unique=True))
    return tuple(axis - ndim * draw(st.booleans()) for axis in chosen)


# Options
def reduced(draw: Draw, shapes: Shapes) -> dict[str, Any]:
    return {"dim": some_axes(draw, len(shapes[0])), "keepdim": draw(st.booleans())}


def reduction(least: int = 0) -> Callable[[Draw, str], tuple[Shapes, dict[str, Any]]]:
    """Shapes with axes to reduce; axes of `least` or more elements are reduced, and empty ones are kept."""

    def arguments(draw: Draw, device: str) -> tuple[Shapes, dict[str, Any]]:
        x = shape(draw)
        options = reduced(draw, [x])
        dim = options["dim"]
        axes = range(len(x)) if dim is None else [dim] if isinstance(dim, int) else dim
        axes = {axis % len(x) for axis in axes}
        return [tuple(max(n, least) if i in axes else n for i, n in enumerate(x))], options

    return arguments


def reduction_named(arguments: Any, one: bool) -> Any:
    """As `arguments`, with a dim always given (`one` axis, where torch takes no more)."""

    def named(draw: Draw, device: str) -> tuple[Shapes, dict[str, Any]]:
        x = shape(draw, least=1, sizes=positive_size)
        dim = an_axis(draw, len(x)) if one else some_axes(draw, len(x))
        dim = an_axis(draw, len(x)) if dim is None else dim
        return [x], {"dim": dim, **({} if arguments is None else {"keepdim": draw(st.booleans())})}

    return named


def one_or_no_axis(draw: Draw, device: str) -> tuple[Shapes, dict[str, Any]]:
    x = shape(draw, sizes=positive_size)
    dim = draw(st.sampled_from((None, an_axis(draw, len(x))))) if x else None
    return [x], {"dim": dim, "keepdim": draw(st.booleans())}


def sorted_along(draw: Draw, device: str) -> tuple[Shapes, dict[str, Any]]:
    x = shape(draw, least=1, sizes=positive_size)
    return [x], {"dim": an_axis(draw, len(x)), "descending": draw(st.booleans())}


def bounds(draw: Draw, shapes: Shapes) -> dict[str, Any]:
    low, high = draw(
        st.sampled_from(((-0.5, 1.0), (None, 1.0), (-0.5, None), (0, 1), (1.0, 1.0), (-1, 0.5), (1.0, -1.0)))
    )
    return {"min": low, "max": high}


def scores(draw: Draw, device: str) -> tuple[Shapes, dict[str, Any]]:
    x = shape(draw, least=1, sizes=positive_size)
    return [x, x], {"dim": an_axis(draw, len(x))}


def labelled(draw: Draw, device: str) -> tuple[Shapes, dict[str, Any]]:
    shapes, options = scores(draw, device)
    return shapes, {**options, "reduction": draw(st.sampled_from(("mean", "sum", "none")))}


def reshaped(draw: Draw, shapes: Shapes) -> dict[str, Any]:
    """Another shape of as many elements: axes merged, split or inserted, one perhaps -1."""
    count = int(np.prod(shapes[0], dtype=int))
    divisors = [n for n in range(1, count + 1) if count % n == 0] or [0]
    first = draw(st.sampled_from(divisors))
    rest = count // first if first else draw(st.sampled_from((0, 1, 3)))
    new = (
        draw(st.permutations([first, rest, *[1] * draw(st.integers(0, 2))])) if shapes[0] or draw(st.booleans()) else []
    )
    if count and new and draw(st.booleans()):
        new[draw(st.integers(0, len(new) - 1))] = -1
    return {"shape": tuple(new)}


def merged(draw: Draw, shapes: Shapes) -> dict[str, Any]:
    ndim = max(len(shapes[0]), 1)
    first = draw(st.integers(0, ndim - 1))
    last = draw(st.integers(first, ndim - 1))
    return {"start_dim": first - ndim * draw(st.booleans()), "end_dim": last - ndim * draw(st.booleans())}


def repeated(draw: Draw, shapes: Shapes) -> dict[str, Any]:
    stretched = tuple(draw(size) if n == 1 else n for n in shapes[0])
    return {"shape": shape(draw, most=2) + stretched}


def two_axes(draw: Draw, device: str) -> tuple[Shapes, dict[str, Any]]:
    x = shape(draw, least=1)
    return [x], {"dim0": an_axis(draw, len(x)), "dim1": an_axis(draw, len(x))}


def order(draw: Draw, shapes: Shapes) -> dict[str, Any]:
    ndim = len(shapes[0])
    return {"dims": tuple(axis - ndim * draw(st.booleans()) for axis in draw(st.permutations(range(ndim))))}


def an_index(draw: Draw, x: tuple[int, ...]) -> Any:
    """An index of NumPy: integers, slices, new axes, an ellipsis, a mask, arrays of positions."""
    how = draw(st.sampled_from(("basic", "positions", "basic", "mask", "positions")))
    if how == "mask":
        axes = draw(st.integers(0, len(x)))
        return np.asarray(np.random.default_rng(draw(st.integers(0, 99))).random(x[:axes]) < 0.6)
    index: list[Any] = []
    used = draw(st.integers(0, len(x)))
    together = shape(draw, most=2)  # arrays of positions in one index broadcast
    for n in x[:used]:
        kind = draw(st.sampled_from(("slice", "number", "positions" if how == "positions" else "slice")))
        if kind == "slice" or n == 0:
            ends = st.one_of(st.none(), st.integers(-n, n))
            step = draw(st.sampled_from((None, 1, 2, -1, -2)))
            index.append(slice(draw(ends), draw(ends), step))
        elif kind == "number":
            index.append(draw(st.integers(-n, n - 1)))
        else:
            index.append(np.random.default_rng(draw(st.integers(0, 99))).integers(-n, n, together))
    if how == "basic":
        if draw(st.booleans()):
            index.insert(draw(st.integers(0, len(index))), None)
        if draw(st.booleans()):
            index.append(Ellipsis)
    return index[0] if len(index) == 1 and draw(st.booleans()) else tuple(index)


def picked(draw: Draw, shapes: Shapes) -> dict[str, Any]:
    return {"index": an_index(draw, shapes[0])}


def scattered(draw: Draw, device: str) -> tuple[Shapes, dict[str, Any]]:
    target = shape(draw)
    index = an_index(draw, target)
    return [np.empty(target)[index].shape], {"shape": target, "index": index}


n_tensors = st.sampled_from((2, 3, 1, 4, 2, 3, 6, 8))


def joined(draw: Draw, device: str) -> tuple[Shapes, dict[str, Any]]:
    first = shape(draw, least=1)
    dim = an_axis(draw, len(first))
    shapes = [list(first) for _ in range(draw(n_tensors))]
    for each in shapes:
        each[dim] = draw(size)
    return [tuple(each) for each in shapes], {"dim": dim}


def stacked(draw: Draw, device: str) -> tuple[Shapes, dict[str, Any]]:
    x = shape(draw, most=3)
    return [x] * draw(n_tensors), {"dim": draw(st.integers(-len(x) - 1, len(x)))}


def matrices(draw: Draw, device: str) -> tuple[Shapes, dict[str, Any]]:
    """Every pair of shapes of numpy.matmul: matrices, vectors, and stacks that broadcast."""
    n, k, m = draw(size), draw(size), draw(size)
    if draw(st.integers(0, 3)) == 0:
        n = m = k
    if isinstance(draw, DrawLarge):
        n, k, m = draw(st.permutations((300, draw(positive_size), 14)))
    x, w = (n, k), (k, m)
    loop = () if isinstance(draw, DrawLarge) else shape(draw, most=2)
    x, w = (
        tuple(n if draw(st.booleans()) else 1 for n in loop)[draw(st.integers(0, len(loop))) :] + each
        for each in (x, w)
    )
    form = draw(st.sampled_from(("matrices", "matrices", "vector and matrix", "matrix and vector", "vectors")))
    return [(k,) if "vector" in form.split()[0] else x, (k,) if form.endswith(("and vector", "vectors")) else w], {}


def another_device(draw: Draw, device: str) -> tuple[Shapes, dict[str, Any]]:
    target = "strict" if device == "cpu" else "cpu"
    return [shape(draw)], {"device": mg.device(target), "source": mg.device(device)}


# Functions of torch in the form of our ops
def t_amax(x: Any, dim: Any, keepdim: bool, least: bool = False) -> Any:
    return (torch.amin if least else torch.amax)(x, () if dim is None else dim, keepdim)


def t_picked(x: Any, index: Any) -> Any:
    positions = np.arange(x.numel()).reshape(x.shape)[index]
    return x.reshape(-1)[torch.as_tensor(positions.copy())]


def t_scattered(x: Any, shape: tuple[int, ...], index: Any) -> Any:
    count = int(np.prod(shape, dtype=int))
    positions = np.arange(count).reshape(shape)[index]
    flat = torch.zeros(count, dtype=x.dtype).index_add(0, torch.as_tensor(positions.reshape(-1).copy()), x.reshape(-1))
    return flat.reshape(shape)


def t_cat(*xs: Any, dim: int) -> Any:
    return (
        torch.cat(xs, dim) if any(x.shape != (0,) for x in xs) else sum(xs)
    )  # of (0,) alone torch's result has no graph


def t_linear(x: Any, w: Any, b: Any = None) -> Any:
    return F.linear(x, w, b)


def t_cross_entropy(x: Any, q: Any, dim: int) -> Any:
    return -(q * torch.log_softmax(x, dim)).sum(dim)


def t_softmax_cross_entropy(x: Any, truth: Any, dim: int, reduction: str) -> Any:
    labels = truth.to(torch.uint8).argmax(dim)
    return F.cross_entropy(x.movedim(dim, 0 if x.ndim == 1 else 1), labels, reduction=reduction)


def t_bce(x: Any, t: Any, pos_weight: Any = None) -> Any:
    if isinstance(pos_weight, (int, float)):
        pos_weight = torch.tensor(pos_weight, dtype=x.dtype)
    x, t = torch.broadcast_tensors(x, t)
    if pos_weight is not None:
        x, t, pos_weight = torch.broadcast_tensors(x, t, pos_weight)
    return F.binary_cross_entropy_with_logits(x, t, pos_weight=pos_weight, reduction="none")


def t_pow(x: Any, p: Any) -> Any:
    # A Python number as exponent sends torch to special cases: pow(-0.0, -0.5) is -inf there, where IEEE has inf.
    return torch.pow(x, p if torch.is_tensor(p) else torch.full_like(x, p))


def t_where(condition: Any, x: Any, w: Any) -> Any:
    return torch.where(condition, x, w)


def t_extremum(name: str) -> Callable[[Any, Any], Any]:
    def extremum(x: Any, w: Any) -> Any:
        x, w = (
            each if torch.is_tensor(each) else torch.tensor(each, dtype=other.dtype) for each, other in ((x, w), (w, x))
        )
        return getattr(torch, name)(x, w)

    return extremum


def t_cast(x: Any, dtype: Any) -> Any:
    return x.to(getattr(torch, str(dtype)))


def t_comparison(name: str) -> Callable[[Any, Any], Any]:
    return lambda x, w: getattr(torch, name)(x if torch.is_tensor(x) else torch.full_like(w, x), w)


def some_dtype(draw: Draw, shapes: Shapes) -> dict[str, Any]:
    return {"dtype": draw(st.sampled_from((mg.float64, mg.float32)))}


REFERENCES: dict[str, Reference] = {
    # arithmetic
    "add": Reference(lambda x, w: x + w, numbers=True, linear=True),
    "sub": Reference(lambda x, w: x - w, numbers=True, linear=True),
    "mul": Reference(lambda x, w: x * w, numbers=True),
    "div": Reference(lambda a, b: a / b, domain={"b": "nonzero"}, numbers=True),
    "neg": Reference(lambda x: -x, linear=True),
    "pow": Reference(
        t_pow,
        domain={"x": "positive"},
        # Without -inf: to the power 0.5 NumPy takes its root, nan, for one exponent, and inf for an array of them; so
        # does torch for a number and for a Tensor.
        odd={"x": (*ODD, *((math.inf, math.nan) * 3)), "p": (0.0, 1.0, 2.0, 3.0, 0.5, -1.0, -2.0)},
        numbers=True,
    ),
    # comparison
    **{
        name: Reference(t_comparison(name), numbers=True, gradient=False)
        for name in ("eq", "ne", "lt", "le", "gt", "ge")
    },
    "isnan": Reference(lambda x: torch.isnan(x), gradient=False),
    "isfinite": Reference(lambda x: torch.isfinite(x), gradient=False),
    "argmax": Reference(
        lambda x, dim, keepdim: torch.argmax(x, dim, keepdim), arguments=one_or_no_axis, gradient=False
    ),
    "argmin": Reference(
        lambda x, dim, keepdim: torch.argmin(x, dim, keepdim), arguments=one_or_no_axis, gradient=False
    ),
    "ones_like": Reference(lambda x: torch.ones_like(x), gradient=False),
    # elementwise
    "exp": Reference(lambda x: torch.exp(x)),
    "log": Reference(lambda x: torch.log(x), domain={"x": "positive"}),
    "log1p": Reference(lambda x: torch.log1p(x), domain={"x": "above -1"}),
    "sqrt": Reference(lambda x: torch.sqrt(x), domain={"x": "positive"}),
    "abs": Reference(lambda x: torch.abs(x), kinks=True, torch_multiplies=True),
    "maximum": Reference(t_extremum("maximum"), numbers=True, kinks=True),
    "minimum": Reference(t_extremum("minimum"), numbers=True, kinks=True),
    "where": Reference(t_where, domain={"condition": "bool"}, numbers=True, linear=True),
    "clip": Reference(lambda x, min, max: torch.clamp(x, min, max), options=bounds, kinks=True),
    "clone": Reference(lambda x: x.clone(), linear=True),
    "div_rounded": Reference(
        lambda a, b, rounding_mode: torch.div(a, b, rounding_mode=rounding_mode),
        options=lambda draw, shapes: {"rounding_mode": draw(st.sampled_from(("floor", "trunc")))},
        numbers=True,
        gradient=False,
    ),
    "cast": Reference(t_cast, options=some_dtype, odd=ODD, linear=True),
    "sin": Reference(lambda x: torch.sin(x), relative=False),
    "cos": Reference(lambda x: torch.cos(x), relative=False),
    "erf": Reference(lambda x: torch.erf(x), relative=False),
    "floor": Reference(lambda x: torch.floor(x), gradient=False),
    "round": Reference(
        lambda x, decimals: torch.round(x, decimals=decimals),
        options=lambda draw, shapes: {"decimals": draw(st.sampled_from((0, 1)))},
        gradient=False,
    ),
    # order
    "cumsum": Reference(
        lambda x, dim: torch.cumsum(x, dim), arguments=reduction_named(None, True), relative=False, linear=True
    ),
    "argsort": Reference(
        lambda x, dim, descending: torch.argsort(x, dim=dim, descending=descending, stable=True),
        arguments=sorted_along,
        gradient=False,
    ),
    # activation
    "relu": Reference(lambda x: F.relu(x), kinks=True),
    "leaky_relu": Reference(
        lambda x, negative_slope: F.leaky_relu(x, negative_slope),
        options=lambda draw, shapes: {"negative_slope": draw(st.sampled_from((0.01, 0.25, 0.0, 1.5)))},
        kinks=True,
    ),
    "sigmoid": Reference(lambda x: torch.sigmoid(x), relative=False),
    "tanh": Reference(lambda x: torch.tanh(x), relative=False),
    "softplus": Reference(
        lambda x, beta, threshold: F.softplus(x, beta, threshold),
        options=lambda draw, shapes: {
            "beta": draw(st.sampled_from((1.0, 2.0, 0.5))),
            "threshold": draw(st.sampled_from((20.0, 1.125))),  # never met exactly: there torch contradicts itself
        },
        relative=False,
    ),
    "softmax": Reference(
        lambda x, dim: torch.softmax(x, dim), arguments=reduction_named(None, True), odd=MASKED, relative=False
    ),
    "log_softmax": Reference(
        lambda x, dim: torch.log_softmax(x, dim), arguments=reduction_named(None, True), odd=LOGITS, relative=False
    ),
    # reduction
    "sum": Reference(
        lambda x, dim, keepdim: torch.sum(x, dim, keepdim), arguments=reduction(), relative=False, linear=True
    ),
    "mean": Reference(
        lambda x, dim, keepdim: torch.mean(x, dim, keepdim), arguments=reduction(), relative=False, linear=True
    ),
    "amax": Reference(
        lambda x, dim, keepdim: t_amax(x, dim, keepdim), arguments=reduction(1), kinks=True, torch_multiplies=True
    ),
    "amin": Reference(
        lambda x, dim, keepdim: t_amax(x, dim, keepdim, True), arguments=reduction(1), kinks=True, torch_multiplies=True
    ),
    "logsumexp": Reference(
        lambda x, dim, keepdim: torch.logsumexp(x, dim, keepdim),
        arguments=reduction_named(True, False),
        odd=MASKED,
        relative=False,
    ),
    # shape
    "reshape": Reference(lambda x, shape: torch.reshape(x, shape), options=reshaped, linear=True),
    "flatten": Reference(
        lambda x, start_dim, end_dim: torch.flatten(x, start_dim, end_dim), options=merged, linear=True
    ),
    "expand_dims": Reference(
        lambda x, dim: torch.unsqueeze(x, dim),
        options=lambda draw, shapes: {"dim": draw(st.integers(-len(shapes[0]) - 1, len(shapes[0])))},
        linear=True,
    ),
    "squeeze": Reference(
        lambda x, dim: torch.squeeze(x) if dim is None else torch.squeeze(x, dim),
        options=lambda draw, shapes: {"dim": some_axes(draw, len(shapes[0]))},
        linear=True,
    ),
    "transpose": Reference(lambda x, dim0, dim1: torch.transpose(x, dim0, dim1), arguments=two_axes, linear=True),
    "permute": Reference(lambda x, dims: torch.permute(x, dims), options=order, linear=True),
    "broadcast_to": Reference(
        lambda x, shape: torch.broadcast_to(x, shape), options=repeated, relative=False, linear=True
    ),
    "getitem": Reference(t_picked, options=picked, relative=False, linear=True),
    "scatter": Reference(t_scattered, arguments=scattered, relative=False, linear=True),
    "cat": Reference(t_cat, arguments=joined, linear=True),
    "stack": Reference(lambda *xs, dim: torch.stack(xs, dim), arguments=stacked, linear=True),
    "move": Reference(lambda x, device, source: x.clone(), arguments=another_device, linear=True),
    # linear
    "matmul": Reference(lambda x, w: torch.matmul(x, w), arguments=matrices, odd=HUGE, relative=False),
    "linear": Reference(t_linear, odd=HUGE, relative=False),
    # loss
    "cross_entropy": Reference(
        t_cross_entropy,
        domain={"q": "part"},
        odd={"x": LOGITS, "q": PARTS},
        arguments=scores,
        relative=False,
        torch_multiplies=True,
    ),
    "softmax_cross_entropy": Reference(
        t_softmax_cross_entropy,
        domain={"one_hot": "one-hot"},
        odd=MASKED,
        arguments=labelled,
        relative=False,
        torch_multiplies=True,
    ),
    "nll_loss": Reference(
        lambda x, q, dim: -(q * x).sum(dim),
        domain={"q": "part"},
        odd={"x": LOGITS, "q": PARTS},
        arguments=scores,
        relative=False,
    ),
    "mse_loss": Reference(
        lambda x, t: F.mse_loss(*torch.broadcast_tensors(x, t), reduction="none"),
        odd=(1e15, -1e15, 1e-15, 0.0, 1.0, 2.5),
    ),
    "binary_cross_entropy_with_logits": Reference(
        t_bce,
        domain={"t": "part", "pos_weight": "positive"},
        odd={"x": LOGITS, "t": PARTS, "pos_weight": (1.0, 2.0)},
        relative=False,
    ),
}
