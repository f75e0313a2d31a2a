"""Parts of Tensors, and Tensors put together: split, gather, flip, repeat, masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import backend, ops
from ..autograd.errors import ShapeError
from ..autograd.methods import sizes
from ..autograd.tensor import Tensor, wrap
from .arguments import check_tensors

# fmt: off
__all__ = [  # noqa: RUF022 (by subject)
    "split", "chunk", "tensor_split", "unbind", "select", "narrow", "gather", "take_along_dim", "index_select",
    "take", "masked_select", "masked_fill", "nonzero", "argwhere", "flip", "fliplr", "flipud", "roll", "rot90",
    "tile", "repeat_interleave", "hstack", "vstack", "dstack", "column_stack", "concat", "concatenate",
    "movedim", "moveaxis", "swapdims", "unflatten", "ravel", "atleast_1d", "atleast_2d", "broadcast_tensors",
    "meshgrid", "scatter", "scatter_add", "index_add", "adjoint",
]
# fmt: on
METHODS = [
    *("split", "chunk", "tensor_split", "unbind", "select", "narrow", "gather", "take_along_dim", "index_select"),
    *("take", "masked_select", "masked_fill", "nonzero", "argwhere", "flip", "fliplr", "flipud", "roll", "rot90"),
    *("tile", "repeat", "repeat_interleave", "movedim", "moveaxis", "swapdims", "unflatten", "ravel", "view_as"),
    *("reshape_as", "expand_as", "scatter", "scatter_add", "index_add", "adjoint"),
]


def part(input: Tensor, dim: int, index: Any) -> Tensor:
    """x[:, ..., index] with `index` at the axis `dim`."""
    return ops.getitem(input, index=(slice(None),) * axis_of(input, dim) + (index,))


def axis_of(input: Tensor, dim: int) -> int:
    """The axis from 0. Raises IndexError if there is none."""
    if not -input.ndim <= dim < input.ndim:
        raise IndexError(f"dim {dim} is not an axis of a Tensor with {input.ndim} axes")
    return dim % input.ndim


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """x[index] along the axis `dim`."""
    return part(input, dim, int(index))


def narrow(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """x[start : start + length] along the axis `dim`."""
    if not input.shape:
        return input
    n = input.shape[axis_of(input, dim)]
    start = int(start) + n * (start < 0)
    if not 0 <= start <= start + length <= n:
        raise IndexError(f"narrow: expected a part of 0 to {n}, got {start} to {start + length}")
    return part(input, dim, slice(start, start + length))


def split(input: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Parts along `dim`, each of one size (the last may be smaller), or of the given sizes.

    Example:
        >>> import minigrad as mg
        >>> mg.arange(5).split(2)
        (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    n, given = input.shape[axis_of(input, dim)], split_size_or_sections
    if isinstance(given, (list, tuple)):
        if sum(given) != n:
            raise ValueError(f"split: expected sizes with sum {n}, got {given}")
        ends = [sum(given[: i + 1]) for i in range(len(given))]
        return tuple(part(input, dim, slice(end - size, end)) for size, end in zip(given, ends))
    if given < 1:
        raise ValueError(f"split: expected a size of 1 or more, got {given}")
    return tuple(part(input, dim, slice(start, min(start + given, n))) for start in range(0, max(n, 1), given))


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Up to `chunks` parts of equal size along `dim`; the last may be smaller."""
    return split(input, max(-(-input.shape[axis_of(input, dim)] // chunks), 1), dim)


def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Parts along `dim`: that many, of sizes that differ by at most 1, or with borders at the given indices."""
    n, given = input.shape[axis_of(input, dim)], indices_or_sections
    if isinstance(given, int):
        given = [i * (n // given) + min(i, n % given) for i in range(1, given)]
    return tuple(part(input, dim, slice(start, end)) for start, end in zip([0, *given], [*given, n]))


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along `dim`, without that axis."""
    return tuple(part(input, dim, i) for i in range(input.shape[axis_of(input, dim)]))


def grid_index(index: Tensor, dim: int) -> tuple[Any, ...]:
    """The index of NumPy by which gather selects: at `dim` the positions in `index`, at other axes their own."""
    xp, shape = backend.namespace(index.array), index.shape
    grid = [xp.arange(n).reshape(n, *[1] * (len(shape) - i - 1)) for i, n in enumerate(shape)]
    grid[dim] = index.array
    return tuple(grid)


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """y[i, j, ...] = x[i, ..., index[i, j, ...], ...], with the index at the axis `dim`.

    Raises:
        IndexError: a position is outside the axis, or `index` is larger than x along another.

    Example:
        >>> import minigrad as mg
        >>> mg.gather(mg.tensor([[1, 2], [3, 4]]), 1, mg.tensor([[0, 0], [1, 0]]))
        tensor([[1, 1],
                [4, 3]])
    """
    if not input.shape:
        return ops.clone(input)
    return input[tuple(wrap(each) for each in grid_index(index, axis_of(input, dim)))]


def take_along_dim(input: Tensor, indices: Tensor, dim: int) -> Tensor:
    """As `gather`, with the axes of size 1 repeated."""
    shape = [max(a, b) for a, b in zip(input.shape, indices.shape)]
    like = lambda x: [x.shape[i] if i == axis_of(input, dim) else n for i, n in enumerate(shape)]
    return gather(input.broadcast_to(*like(input)), dim, indices.broadcast_to(*like(indices)))


def scatter(input: Tensor, dim: int, index: Tensor, src: Any) -> Tensor:
    """A copy of x with y[i, ..., index[i, j, ...], ...] = src[i, j, ...], a Tensor or a number."""
    at, d = grid_index(index, axis_of(input, dim)), input.shape
    value = src if not isinstance(src, Tensor) else src[tuple(slice(n) for n in index.shape)]
    mask = backend.namespace(input.array).zeros(d, dtype="bool")
    mask[at] = True
    if not isinstance(value, Tensor):
        return ops.where(wrap(mask), value, input)
    return ops.where(wrap(mask), ops.scatter(value.to(dtype=input.dtype), shape=d, index=at), input)


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """x with src[i, j, ...] added at y[i, ..., index[i, j, ...], ...]."""
    src = src[tuple(slice(n) for n in index.shape)]
    return input + ops.scatter(src, shape=input.shape, index=grid_index(index, axis_of(input, dim)))


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """x with alpha · source[i] added at index[i] along `dim`."""
    at = (slice(None),) * axis_of(input, dim) + (index.array,)
    return input + ops.scatter(source * alpha, shape=input.shape, index=at)


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of x at the positions `index` along `dim`."""
    return input[(slice(None),) * axis_of(input, dim) + (index,)]


def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements at positions of the flattened Tensor."""
    return ops.reshape(input, (-1,))[index]


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask is True, (n,)."""
    return input.broadcast_to(*broadcast_shape(input, mask))[mask.broadcast_to(*broadcast_shape(input, mask))]


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """A copy with `value` where the mask is True."""
    return ops.where(mask, value.to(dtype=input.dtype) if isinstance(value, Tensor) else value, input)


def broadcast_shape(*tensors: Tensor) -> tuple[int, ...]:
    """The shape to which Tensors broadcast."""
    return backend.numpy.broadcast_shapes(*(x.shape for x in tensors))


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The Tensors, broadcast to one shape."""
    return tuple(x.broadcast_to(*broadcast_shape(*tensors)) for x in tensors)


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The indices of the elements that are not 0, (n, number of axes); `as_tuple` a Tensor for each axis."""
    found = tuple(wrap(each) for each in backend.namespace(input.array).nonzero(input.array))
    return found if as_tuple else ops.stack(found, dim=1)


argwhere = nonzero


# Order of elements
def flip(input: Tensor, *axes: Any, dims: Any = None) -> Tensor:
    """The elements in reverse order along the axes `dims`."""
    reverse = {axis_of(input, dim) for dim in (sizes(axes) if dims is None else dims)}
    return ops.getitem(input, index=tuple(slice(None, None, -1 if i in reverse else 1) for i in range(input.ndim)))


def fliplr(input: Tensor) -> Tensor:
    """`flip` along the axis 1."""
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """`flip` along the axis 0."""
    return flip(input, 0)


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """The elements shifted along `dims`; those that leave at the end enter at the start."""
    if dims is None:
        return ops.reshape(roll(ops.reshape(input, (-1,)), shifts, 0), input.shape)
    pairs = [(shifts, dims)] if isinstance(dims, int) else list(zip(shifts, dims))
    for shift, dim in pairs:
        n = input.shape[axis_of(input, dim)]
        cut = n - shift % n if n else 0
        input = ops.cat([part(input, dim, slice(cut, None)), part(input, dim, slice(0, cut))], dim=dim)
    return input


def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned k times by 90°, from the first axis of `dims` to the second."""
    for _ in range(k % 4):
        input = flip(input.transpose(*dims), dims[0])
    return input


# Repetition
def repeat(input: Tensor, *repeats: Any) -> Tensor:
    """The Tensor repeated `repeats[i]` times along axis i; new axes are leading."""
    times = sizes(repeats)
    if len(times) < input.ndim:
        raise ShapeError(f"repeat: expected a number for each axis of {input.shape}, got {times}")
    shape = (1,) * (len(times) - input.ndim) + input.shape
    pairs = [n for pair in zip([1] * len(shape), shape) for n in pair]
    wide = [n for pair in zip(times, shape) for n in pair]
    y = ops.broadcast_to(ops.reshape(input, tuple(pairs)), shape=tuple(wide))
    return ops.reshape(y, tuple(n * m for n, m in zip(times, shape)))


def tile(input: Tensor, *dims: Any) -> Tensor:
    """As `repeat`, with 1 for the axes that `dims` leaves out."""
    times = sizes(dims)
    return repeat(input, (1,) * (input.ndim - len(times)) + tuple(times))


def repeat_interleave(input: Tensor, repeats: Any, dim: int | None = None) -> Tensor:
    """Each element repeated `repeats` times, a number or one for each, along `dim`; else of the flattened Tensor."""
    x = ops.reshape(input, (-1,)) if dim is None else input
    n = x.shape[dim or 0]
    counts = repeats.tolist() if isinstance(repeats, Tensor) else repeats
    host = backend.numpy.repeat(backend.numpy.arange(n), counts)
    return index_select(x, dim or 0, wrap(backend.library_of(x.array).from_host(host)))


# Shapes
def view_as(input: Tensor, other: Tensor) -> Tensor:
    """In the shape of another Tensor."""
    return ops.reshape(input, other.shape)


reshape_as = view_as


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """Broadcast to the shape of another Tensor."""
    return ops.broadcast_to(input, other.shape)


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """The axes `source` moved to `destination`, the others in order."""
    pairs = [(source, destination)] if isinstance(source, int) else list(zip(source, destination))
    moved = {axis_of(input, to): axis_of(input, at) for at, to in pairs}
    rest = iter([i for i in range(input.ndim) if i not in moved.values()])
    return ops.permute(input, tuple(moved[i] if i in moved else next(rest) for i in range(input.ndim)))


moveaxis = movedim


def swapdims(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """As `transpose`."""
    return ops.transpose(input, dim0, dim1)


def adjoint(input: Tensor) -> Tensor:
    """The last two axes exchanged."""
    return ops.transpose(input, -2, -1)


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """The axis `dim` split into axes of these sizes; one may be -1."""
    axis = axis_of(input, dim)
    n, known = input.shape[axis], [size for size in sizes if size != -1]
    inner = tuple(n // max(backend.numpy.prod(known, dtype=int).item(), 1) if size == -1 else size for size in sizes)
    return ops.reshape(input, (*input.shape[:axis], *inner, *input.shape[axis + 1 :]))


def ravel(input: Tensor) -> Tensor:
    """As a vector."""
    return ops.reshape(input, (-1,))


def atleast_1d(input: Tensor) -> Tensor:
    """With one axis or more."""
    return input if input.ndim else ops.reshape(input, (1,))


def atleast_2d(input: Tensor) -> Tensor:
    """With two axes or more; new ones are leading."""
    return input if input.ndim > 1 else ops.reshape(input, (1, -1))


# Joining
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along the axis 1; vectors along the axis 0."""
    tensors = [atleast_1d(x) for x in tensors]
    return ops.cat(tensors, dim=0 if tensors[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along the axis 0; vectors become rows."""
    return ops.cat([atleast_2d(x) for x in tensors], dim=0)


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along the axis 2."""
    return ops.cat([x.unsqueeze(-1) if x.ndim == 2 else atleast_2d(x).unsqueeze(-1) for x in tensors], dim=2)


def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along the axis 1; vectors become columns."""
    return ops.cat([x if x.ndim > 1 else ops.reshape(x, (-1, 1)) for x in tensors], dim=1)


def concat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """As `cat`."""
    return ops.cat(tensors, dim=dim)


concatenate = concat


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Vectors of coordinates, repeated so that together they span a grid; "xy" exchanges the first two axes.

    Example:
        >>> import minigrad as mg
        >>> x, y = mg.meshgrid(mg.arange(2), mg.arange(3), indexing="ij")
        >>> (x * 10 + y).tolist()
        [[0, 1, 2], [10, 11, 12]]
    """
    if indexing not in ("ij", "xy"):
        raise ValueError(f"meshgrid: expected indexing 'ij' or 'xy', got {indexing!r}")
    vectors: list[Tensor] = list(sizes(tensors))  # type: ignore[arg-type]
    shape = tuple(x.numel() for x in vectors)
    rows = [ops.reshape(x, (1,) * i + (-1,) + (1,) * (len(shape) - i - 1)) for i, x in enumerate(vectors)]
    grids = [ops.broadcast_to(x, shape) for x in rows]
    return tuple(ops.transpose(x, 0, 1) if indexing == "xy" and len(shape) > 1 else x for x in grids)


check_tensors(globals())
