"""Products of vectors and matrices, diagonals and triangles."""

from __future__ import annotations

import math
from typing import Any

from .. import backend, ops
from ..autograd.errors import ShapeError
from ..autograd.tensor import Tensor, wrap
from .arguments import check_tensors
from .statistics import norm

# fmt: off
__all__ = [  # noqa: RUF022 (by subject)
    "dot", "inner", "outer", "ger", "mv", "bmm", "addmm", "einsum", "tensordot", "multiply", "divide", "true_divide",
    "subtract", "negative", "absolute", "diag", "diagonal", "trace", "tril", "triu", "tril_indices", "triu_indices",
    "kron", "cov", "corrcoef", "cdist", "cosine_similarity", "pairwise_distance", "addcmul", "addcdiv",
]
# fmt: on
METHODS = [
    *("dot", "inner", "outer", "ger", "mv", "bmm", "addmm", "diag", "diagonal", "trace", "tril", "triu", "absolute"),
    *("subtract", "true_divide"),
]

multiply, subtract, negative, absolute = ops.mul, ops.sub, ops.neg, ops.abs
divide = true_divide = Tensor.div


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """Σ xᵢ yᵢ of two vectors."""
    if input.ndim != 1 or input.shape != tensor.shape:
        raise ShapeError(f"dot: expected two vectors of one length, got {input.shape} and {tensor.shape}")
    return ops.matmul(input, tensor)


def inner(input: Tensor, other: Tensor) -> Tensor:
    """Σ over the last axes of both."""
    if not input.ndim or not other.ndim:
        return input * other
    return tensordot(input, other, ([-1], [-1]))


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """yᵢⱼ = aᵢ bⱼ of two vectors."""
    if input.ndim != 1 or vec2.ndim != 1:
        raise ShapeError(f"outer: expected two vectors, got {input.shape} and {vec2.shape}")
    return input.unsqueeze(1) * vec2


ger = outer


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """A matrix times a vector."""
    if input.ndim != 2 or vec.ndim != 1:
        raise ShapeError(f"mv: expected a matrix and a vector, got {input.shape} and {vec.shape}")
    return ops.matmul(input, vec)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of two batches of matrices, (b, n, k) @ (b, k, m) -> (b, n, m)."""
    if input.ndim != 3 or mat2.ndim != 3 or len(input) != len(mat2):
        raise ShapeError(f"bmm: expected (b, n, k) and (b, k, m), got {input.shape} and {mat2.shape}")
    return ops.matmul(input, mat2)


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta x + alpha A B"""
    return beta * input + alpha * ops.matmul(mat1, mat2)


def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Σ over the last `dims` axes of a and the first of b, or over the pairs of axes in two lists."""
    if isinstance(dims, int):
        dims = (range(a.ndim - dims, a.ndim), range(dims))
    over_a, over_b = [d % a.ndim for d in dims[0]], [d % b.ndim for d in dims[1]]
    keep_a, keep_b = ([i for i in range(x.ndim) if i not in over] for x, over in ((a, over_a), (b, over_b)))
    n = math.prod(a.shape[i] for i in over_a)
    left = ops.reshape(ops.permute(a, (*keep_a, *over_a)), (-1, n))
    right = ops.reshape(ops.permute(b, (*over_b, *keep_b)), (n, -1))
    return ops.reshape(left @ right, tuple(x.shape[i] for x, keep in ((a, keep_a), (b, keep_b)) for i in keep))


def einsum(equation: str, *operands: Any) -> Tensor:
    """Einstein's notation: products of elements, summed over the letters that the result leaves out.

    Args:
        equation: a letter for each axis, as "bij,bjk->bik"; without -> the letters that occur once, in order.
        operands: the Tensors.

    Raises:
        ShapeError: the letters do not fit the shapes.

    Example:
        >>> import minigrad as mg
        >>> mg.einsum("ij,kj->ik", mg.ones(2, 3), mg.ones(4, 3)).shape
        (2, 4)
    """
    if not isinstance(equation, str):
        raise TypeError(f"einsum: expected a string as equation, got {type(equation).__name__}")
    tensors = list(operands[0]) if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else list(operands)
    given, _, result = equation.replace(" ", "").partition("->")
    terms = given.split(",")
    if "..." in equation:
        terms, result = without_ellipsis(terms, result if "->" in equation else None, tensors)
    elif "->" not in equation:
        result = "".join(sorted(letter for letter in {*given} - {","} if given.count(letter) == 1))
    if len(terms) != len(tensors) or any(len(term) != x.ndim for term, x in zip(terms, tensors)):
        shapes = ", ".join(str(x.shape) for x in tensors)
        raise ShapeError(f"einsum: expected Tensors for {equation!r}, got shapes {shapes}")
    if set(result) - set("".join(terms)):
        raise ValueError(f"einsum: expected letters of the Tensors in the result, got {equation!r}")
    pairs = [take_diagonals(term, x) for term, x in zip(terms, tensors)]
    term, y = pairs[0]
    for i, (other, x) in enumerate(pairs[1:], 2):
        needed = set(result).union(*(later for later, _ in pairs[i:]))
        term, y = contract(term, y, other, x, needed)
    summed = tuple(i for i, letter in enumerate(term) if letter not in result)
    y = ops.sum(y, dim=summed) if summed else y
    term = "".join(letter for letter in term if letter in result)
    return ops.permute(y, tuple(term.index(letter) for letter in result)) if term != result else y


def without_ellipsis(terms: list[str], result: str | None, tensors: list[Tensor]) -> tuple[list[str], str]:
    """The terms with letters of their own, in upper case from the end, in place of "..."."""
    spare = [chr(c) for c in range(ord("Z"), ord("A") - 1, -1) if chr(c) not in "".join(terms)]
    most = max(x.ndim - len(term) + 3 for term, x in zip(terms, tensors) if "..." in term)
    letters = "".join(spare[:most])
    full = []
    for term, x in zip(terms, tensors):
        n = x.ndim - len(term) + 3
        full.append(term.replace("...", letters[most - n :] if "..." in term else ""))
    if result is None:
        flat = "".join(terms).replace(".", "")
        result = "..." + "".join(sorted(letter for letter in set(flat) if flat.count(letter) == 1))
    return full, result.replace("...", letters)


def take_diagonals(term: str, x: Tensor) -> tuple[str, Tensor]:
    """A Tensor whose letters all differ: equal ones select the diagonal."""
    for letter in dict.fromkeys(term):
        while term.count(letter) > 1:
            first, second = term.index(letter), term.rindex(letter)
            x = diagonal(x, 0, first, second)
            term = term[:first] + term[first + 1 : second] + term[second + 1 :] + letter
    return term, x


def contract(left: str, a: Tensor, right: str, b: Tensor, needed: set[str]) -> tuple[str, Tensor]:
    """The product of two Tensors, summed over the letters that are not needed: as a batch of matrix products."""
    a, left = sum_out(a, left, needed | set(right))
    b, right = sum_out(b, right, needed | set(left))
    sizes: dict[str, int] = {}
    for letter, n in [*zip(left, a.shape), *zip(right, b.shape)]:
        if n != 1 and sizes.setdefault(letter, n) not in (1, n):
            raise ShapeError(f"einsum: expected one size for {letter!r}, got {sizes[letter]} and {n}")
        if n != 1 or letter not in sizes:
            sizes[letter] = n
    both = [c for c in left if c in right]
    batch, inner = [c for c in both if c in needed], [c for c in both if c not in needed]
    rows, columns = [c for c in left if c not in right], [c for c in right if c not in left]
    size = lambda letters: math.prod(sizes[c] for c in letters)

    def arranged(x: Tensor, term: str, order: list[str], shape: tuple[int, ...]) -> Tensor:
        x = ops.permute(x, tuple(term.index(c) for c in order))
        full = tuple(sizes[c] for c in order)
        return ops.reshape(x if x.shape == full else ops.broadcast_to(x, full), shape)

    x = arranged(a, left, [*batch, *rows, *inner], (size(batch), size(rows), size(inner)))
    y = arranged(b, right, [*batch, *inner, *columns], (size(batch), size(inner), size(columns)))
    letters = [*batch, *rows, *columns]
    return "".join(letters), ops.reshape(x @ y, tuple(sizes[c] for c in letters))


def sum_out(x: Tensor, term: str, keep: set[str]) -> tuple[Tensor, str]:
    """Sum over the letters that no other Tensor and no result has."""
    dims = tuple(i for i, letter in enumerate(term) if letter not in keep)
    return (ops.sum(x, dim=dims) if dims else x), "".join(letter for letter in term if letter in keep)


# Diagonals and triangles
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of the axes dim1 and dim2, as a new last axis; `offset` above the main one."""
    if input.ndim < 2:
        raise ShapeError(f"diagonal: expected 2 axes or more, got shape {input.shape}")
    axes = (dim1 % input.ndim, dim2 % input.ndim)
    x = ops.permute(input, (*(i for i in range(input.ndim) if i not in axes), *axes))
    n = max(min(x.shape[-2] + min(offset, 0), x.shape[-1] - max(offset, 0)), 0)
    xp = backend.namespace(x.array)
    rows, columns = xp.arange(n) + max(-offset, 0), xp.arange(n) + max(offset, 0)
    return ops.getitem(x, index=(Ellipsis, rows, columns))


diagonal_of = diagonal


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or a matrix with the vector x on its diagonal.

    Example:
        >>> import minigrad as mg
        >>> mg.diag(mg.tensor([1, 2])).tolist()
        [[1, 0], [0, 2]]
    """
    if input.ndim == 2:
        return diagonal_of(input, diagonal)
    if input.ndim != 1:
        raise ShapeError(f"diag: expected a vector or a matrix, got shape {input.shape}")
    n, xp = len(input), backend.namespace(input.array)
    rows, columns = xp.arange(n) + max(-diagonal, 0), xp.arange(n) + max(diagonal, 0)
    size = n + abs(diagonal)
    return ops.scatter(input, shape=(size, size), index=(rows, columns))


def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix."""
    return ops.sum(diag(input))


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangle of matrices, up to `diagonal` above the main one; 0 elsewhere."""
    return ops.where(triangle(input, diagonal), input, zero(input))


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangle of matrices, from `diagonal` above the main one on; 0 elsewhere."""
    return ops.where(triangle(input, diagonal - 1), zero(input), input)


def zero(input: Tensor) -> Any:
    """0 in the dtype of the Tensor."""
    return False if input.dtype.kind == "b" else 0


def triangle(input: Tensor, diagonal: int) -> Tensor:
    """Whether column - row <= diagonal."""
    xp = backend.namespace(input.array)
    return wrap(xp.arange(input.shape[-1]) - xp.arange(input.shape[-2]).reshape(-1, 1) <= diagonal)


def tril_indices(row: int, col: int, offset: int = 0, *, device: Any = None) -> Tensor:
    """The rows and columns of the lower triangle, (2, n)."""
    return indices(backend.numpy.tril_indices(row, offset, col), device)


def triu_indices(row: int, col: int, offset: int = 0, *, device: Any = None) -> Tensor:
    """The rows and columns of the upper triangle, (2, n)."""
    return indices(backend.numpy.triu_indices(row, offset, col), device)


def indices(host: Any, device: Any) -> Tensor:
    """Arrays of positions as rows of one Tensor."""
    return wrap(backend.library(device or "cpu").from_host(backend.numpy.stack(host)))


def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product of two matrices."""
    product = input.unsqueeze(1).unsqueeze(3) * other.unsqueeze(0).unsqueeze(2)
    return ops.reshape(product, (input.shape[0] * other.shape[0], input.shape[1] * other.shape[1]))


# Statistics of rows
def cov(input: Tensor, *, correction: int = 1) -> Tensor:
    """The covariance matrix of variables, one in each row."""
    x = input - ops.mean(input, dim=-1, keepdim=True)
    return x @ ops.transpose(x, -2, -1) / (input.shape[-1] - correction)


def corrcoef(input: Tensor) -> Tensor:
    """The matrix of correlation coefficients of variables, one in each row."""
    c = cov(input)
    s = ops.sqrt(diag(c))
    return c / s.unsqueeze(1) / s


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0) -> Tensor:
    """The distance of each row of x1 from each of x2, (n, d) and (m, d) -> (n, m)."""
    return norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, dim=-1)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The norm of x1 - x2 + eps over the last axis."""
    return norm(x1 - x2 + eps, p, dim=-1, keepdim=keepdim)


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """x + value · a · b"""
    return input + value * tensor1 * tensor2


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """x + value · a / b"""
    return input + value * tensor1 / tensor2


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x · y / (|x| |y|) along `dim`; norms below eps count as eps."""
    lengths = [ops.maximum(norm(x, 2, dim=dim, keepdim=True), eps) for x in (x1, x2)]
    return ops.sum(x1 / lengths[0] * (x2 / lengths[1]), dim=dim)


check_tensors(globals())
