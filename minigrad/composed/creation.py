"""New Tensors like others, ranges, and samples from distributions."""

from __future__ import annotations

from typing import Any

from .. import backend
from ..autograd.errors import ShapeError
from ..autograd.methods import sizes
from ..autograd.tensor import Tensor, wrap
from ..backend import float32, random
from ..creation import draw, float_dtype, from_numpy, full, shape_of, tensor, zeros
from .arguments import check_tensors

# fmt: off
__all__ = [  # noqa: RUF022 (by subject)
    "as_tensor", "asarray", "scalar_tensor", "empty", "empty_like", "full_like", "rand_like", "randn_like",
    "randint_like", "linspace", "logspace", "normal", "bernoulli", "multinomial",
]
# fmt: on
METHODS = [
    *("new_tensor", "new_zeros", "new_ones", "new_full", "new_empty", "bernoulli", "multinomial"),
    *("normal_", "uniform_", "random_", "bernoulli_", "exponential_"),
]


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """A Tensor of `data`; a Tensor or a NumPy array that fits already is not copied."""
    if isinstance(data, Tensor):
        return data.to(device=device, dtype=dtype)
    if isinstance(data, backend.numpy.ndarray) and data.dtype in backend.DTYPES:
        return from_numpy(data).to(device=device, dtype=dtype)
    return tensor(data, dtype=dtype, device=device)


asarray = as_tensor


def scalar_tensor(s: Any, *, dtype: Any = float32, device: Any = None) -> Tensor:
    """A Tensor of one number, without axes."""
    return tensor(s, dtype=dtype, device=device)


def empty(*size: Any, dtype: Any = float32, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A Tensor to be written to; the elements are 0, where torch's are arbitrary."""
    return zeros(*size, dtype=dtype, device=device, requires_grad=requires_grad)


def like(input: Tensor, dtype: Any, device: Any) -> dict[str, Any]:
    """The dtype and device of a Tensor, unless others are given."""
    return {"dtype": input.dtype if dtype is None else dtype, "device": input.device if device is None else device}


def empty_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """As `empty`, with the shape, dtype and device of another Tensor."""
    return zeros(input.shape, **like(input, dtype, device), requires_grad=requires_grad)


def full_like(
    input: Tensor, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """One number everywhere, with the shape, dtype and device of another Tensor."""
    return full(input.shape, fill_value, **like(input, dtype, device), requires_grad=requires_grad)


def sample(
    name: str, shape: tuple[int, ...], function: Any, options: dict[str, Any], requires_grad: bool = False
) -> Tensor:
    """A Tensor of `function(shape)` on the host, in a floating dtype."""
    dtype = float_dtype(name, options["dtype"])
    return draw(lambda: backend.numpy.asarray(function(shape), dtype=dtype), options["device"], requires_grad)


def rand_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Uniform numbers from [0, 1), with the shape, dtype and device of another Tensor."""
    options = like(input, dtype, device)
    uniform = lambda shape: random.generator().random(shape, dtype=float_dtype("rand_like", options["dtype"]))
    return sample("rand_like", input.shape, uniform, options, requires_grad)


def randn_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Standard normal numbers, with the shape, dtype and device of another Tensor."""
    options = like(input, dtype, device)
    return sample("randn_like", input.shape, random.generator().standard_normal, options, requires_grad)


def randint_like(input: Tensor, low: int, high: int | None = None, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Uniform integers from [low, high), with the shape, dtype and device of another Tensor."""
    low, high = (0, low) if high is None else (low, high)
    options = like(input, dtype, device)
    integers = lambda: random.generator().integers(low, high, input.shape).astype(options["dtype"])
    return draw(integers, options["device"])


def linspace(
    start: Any, end: Any, steps: int, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`steps` numbers at equal distances from start to end, both included.

    Example:
        >>> import minigrad as mg
        >>> mg.linspace(0, 1, 5)
        tensor([0.00, 0.25, 0.50, 0.75, 1.00])
    """
    start, end = float(start), float(end)
    values = backend.numpy.linspace(start, end, shape_of((steps,))[0])
    return tensor(values, dtype=float32 if dtype is None else dtype, device=device, requires_grad=requires_grad)


def logspace(start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """base to the power of the numbers of `linspace`."""
    values = base ** linspace(start, end, steps, dtype="float64").array
    return tensor(values, dtype=float32 if dtype is None else dtype, device=device)


def normal(
    mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Any = None, dtype: Any = None, device: Any = None
) -> Tensor:
    """Numbers from N(mean, std²); the mean and std are numbers with a `size`, or Tensors.

    Example:
        >>> import minigrad as mg
        >>> mg.normal(0.0, 1.0, (2, 3)).shape
        (2, 3)
    """
    given = [each for each in (mean, std) if isinstance(each, Tensor)]
    shape = tuple(size) if size is not None else backend.numpy.broadcast_shapes(*(each.shape for each in given))
    dtype = dtype or (given[0].dtype if given else float32)
    options = {"dtype": dtype, "device": device or (given[0].device if given else "cpu")}
    return sample("normal", shape, random.source(generator).standard_normal, options) * std + mean


def bernoulli(input: Tensor, p: float | None = None, *, generator: Any = None) -> Tensor:
    """1 with the probability x, or p, else 0; in the dtype of x."""
    uniform = draw(lambda: random.source(generator).random(input.shape), input.device)
    return (uniform < (input.detach() if p is None else p)).to(dtype=input.dtype)


def multinomial(input: Tensor, num_samples: int, replacement: bool = False, *, generator: Any = None) -> Tensor:
    """Indices drawn with probabilities proportional to the weights in a vector, or in each row of a matrix.

    Raises:
        ShapeError: the weights have another number of axes.
        ValueError: weights are negative or not finite, or all 0; or fewer are above 0 than are drawn.

    Example:
        >>> import minigrad as mg
        >>> mg.multinomial(mg.tensor([0.0, 1.0]), 3, replacement=True)
        tensor([1, 1, 1])
    """
    if input.ndim not in (1, 2):
        raise ShapeError(f"multinomial: expected weights (n,) or (m, n), got shape {input.shape}")
    xp = backend.numpy
    weights = xp.asarray(backend.library_of(input.array).to_host(input.array), dtype=xp.float64)
    if not (xp.isfinite(weights).all() and (weights >= 0).all() and (weights.sum(-1) > 0).all()):
        raise ValueError("multinomial: expected finite weights of 0 or more, not all 0")
    if not replacement and (weights > 0).sum(-1).min() < num_samples:
        raise ValueError(f"multinomial: expected {num_samples} weights above 0; use replacement=True")

    def indices() -> Any:
        source = random.source(generator)
        if replacement:
            ends = weights.cumsum(-1)
            u = source.random((*weights.shape[:-1], num_samples)) * ends[..., -1:]
            return (u[..., None] >= ends[..., None, :]).sum(-1)
        with backend.numpy.errstate(divide="ignore"):  # the smallest of exponential times: a race
            times = source.exponential(size=weights.shape) / weights
        return times.argsort(-1)[..., :num_samples]

    return draw(indices, input.device)


# Methods
def new_tensor(
    input: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A Tensor of `data` with the dtype and device of another."""
    return tensor(data, **like(input, dtype, device), requires_grad=requires_grad)


def new_full(input: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """One number everywhere, in the dtype and on the device of another Tensor."""
    return full(size, fill_value, **like(input, dtype, device))


def new_zeros(input: Tensor, *size: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """0 everywhere, in the dtype and on the device of another Tensor."""
    return new_full(input, sizes(size), 0, dtype=dtype, device=device)


def new_ones(input: Tensor, *size: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """1 everywhere, in the dtype and on the device of another Tensor."""
    return new_full(input, sizes(size), 1, dtype=dtype, device=device)


new_empty = new_zeros


def write(input: Tensor, values: Any) -> Tensor:
    """Write an array of the host into a Tensor; returns it."""
    return input.copy_(wrap(backend.library_of(input.array).from_host(backend.numpy.asarray(values, input.dtype))))


def normal_(input: Tensor, mean: float = 0, std: float = 1, *, generator: Any = None) -> Tensor:
    """Fill with numbers from N(mean, std²)."""
    return write(input, random.source(generator).normal(mean, std, input.shape))


def uniform_(input: Tensor, a: float = 0, b: float = 1, *, generator: Any = None) -> Tensor:
    """Fill with uniform numbers from [a, b)."""
    values = random.source(generator).uniform(a, b, input.shape)
    return write(input, random.below(values, b, input.dtype) if a < b else values)


def random_(input: Tensor, low: int = 0, high: int | None = None, *, generator: Any = None) -> Tensor:
    """Fill with uniform integers from [low, high), by default up to the largest that the dtype counts exactly."""
    if high is None:
        exact = 2**24 if input.dtype == float32 else 2**53
        bound = exact if input.dtype.kind == "f" else backend.numpy.iinfo(input.dtype).max
        low, high = 0, low or bound
    return write(input, random.source(generator).integers(low, high, input.shape))


def bernoulli_(input: Tensor, p: Any = 0.5, *, generator: Any = None) -> Tensor:
    """Fill with 1 with the probability p, else 0."""
    return input.copy_(bernoulli(p if isinstance(p, Tensor) else input, None if isinstance(p, Tensor) else p))


def exponential_(input: Tensor, lambd: float = 1, *, generator: Any = None) -> Tensor:
    """Fill with numbers from the exponential distribution of rate lambd."""
    if not lambd > 0:
        raise ValueError(f"exponential_: expected a rate above 0 as lambd, got {lambd}")
    return write(input, random.source(generator).exponential(1 / lambd, input.shape))


check_tensors(globals())
