"""The operators and methods of a Tensor, under torch's names. Each is the op of its name.

Tensor and the ops depend on each other. Methods therefore look up their op at call time, in OPS, the registry that
`@op` fills. In HIPS autograd: `ArrayBox`.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from numbers import Number
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import backend
from ..left_out import left_out
from .errors import ShapeError
from .indexing import check_bounds, index_steps
from .version_counter import clock

if TYPE_CHECKING:
    from .tensor import Tensor

OPS: dict[str, Callable[..., Tensor]] = {}  # every op by its name


def method(name: str) -> Callable[..., Tensor]:
    """The op `name` as a method."""

    def call(self: Tensor, *args: Any, **options: Any) -> Tensor:
        return OPS[name](self, *args, **options)

    call.__name__ = name
    return call


def sizes(numbers: tuple[Any, ...]) -> tuple[int, ...]:
    """The sizes passed as `f(2, 3)` or as `f((2, 3))`."""
    return tuple(numbers[0]) if len(numbers) == 1 and isinstance(numbers[0], (tuple, list)) else numbers


def is_operand(other: Any) -> bool:
    """Whether == compares elements. With anything else, such as None or a string, it is False, as in torch."""
    return isinstance(other, (TensorMethods, Number, backend.numpy.ndarray))


def note_range(labels: Any, host: Any) -> None:
    """Note (minimum, maximum) of labels that were copied from an array of the host."""
    if host.size:
        labels._value_range = int(host.min()), int(host.max()), next(clock)


class MinMax(NamedTuple):
    """The result of `max(dim)` and `min(dim)`: values, and their indices along `dim`. In torch: `return_types.max`."""

    values: Tensor
    indices: Tensor


class TensorMethods:
    """The computations of a Tensor; its data, gradient and in-place updates are the class Tensor's own."""

    array: Any
    shape: tuple[Any, ...]
    dtype: Any
    device: Any
    requires_grad: Any
    ndim: Any
    __array_ufunc__ = None  # makes NumPy call `Tensor.__radd__` for `array + tensor`
    __hash__ = object.__hash__  # by identity, although == compares elements

    if TYPE_CHECKING:  # the methods that composed/ adds

        def __getattr__(self, name: str) -> Any: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
    else:

        def __getattr__(self, name: str) -> Any:
            raise left_out("Tensor", name)

    # Arithmetic; written out, because a training step calls these operators most
    def __add__(self, other: Any) -> Tensor:
        return OPS["add"](self, other)

    def __radd__(self, other: Any) -> Tensor:
        return OPS["add"](other, self)

    def __sub__(self, other: Any) -> Tensor:
        return OPS["sub"](self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return OPS["sub"](other, self)

    def __mul__(self, other: Any) -> Tensor:
        return OPS["mul"](self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return OPS["mul"](other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return OPS["div"](self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return OPS["div"](other, self)

    def __pow__(self, other: Any) -> Tensor:
        return OPS["pow"](self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return OPS["pow"](other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return OPS["matmul"](self, other)

    def __neg__(self) -> Tensor:
        return OPS["neg"](self)

    __abs__ = method("abs")
    __floordiv__ = method("floor_divide")

    def __rfloordiv__(self, other: Any) -> Tensor:
        return OPS["floor_divide"](other, self)

    add, sub, mul, div, neg, pow = (method(name) for name in ("add", "sub", "mul", "div", "neg", "pow"))
    multiply, divide, negative = mul, div, neg
    matmul = mm = method("matmul")

    # Comparison: no gradient
    eq, ne = method("eq"), method("ne")

    def __eq__(self, other: Any) -> Any:
        return OPS["eq"](self, other) if is_operand(other) else NotImplemented

    def __ne__(self, other: Any) -> Any:
        return OPS["ne"](self, other) if is_operand(other) else NotImplemented

    __lt__ = lt = method("lt")
    __le__ = le = method("le")
    __gt__ = gt = method("gt")
    __ge__ = ge = method("ge")
    isnan, isfinite, argmax, argmin = (method(name) for name in ("isnan", "isfinite", "argmax", "argmin"))

    # Elementwise
    exp, log, log1p, sqrt, abs = (method(name) for name in ("exp", "log", "log1p", "sqrt", "abs"))
    maximum, minimum = method("maximum"), method("minimum")
    clip = clamp = method("clip")
    relu, sigmoid, tanh = method("relu"), method("sigmoid"), method("tanh")
    softmax, log_softmax = method("softmax"), method("log_softmax")

    # Reduction
    sum, mean, amax, amin = (method(name) for name in ("sum", "mean", "amax", "amin"))
    logsumexp = method("logsumexp")

    def max(self, dim: Any = None, keepdim: Any = False, *, axis: Any = None, keepdims: Any = False) -> Any:
        """The maximum of all elements, or (values, indices) along `dim`, or the elementwise maximum with a Tensor.

        Gradients:
            With `dim` to the element at `indices`; without it in equal parts to all maximal elements.
        """
        return TensorMethods._minmax(self, "max", dim if axis is None else axis, keepdim or keepdims)

    def min(self, dim: Any = None, keepdim: Any = False, *, axis: Any = None, keepdims: Any = False) -> Any:
        """The minimum of all elements, or (values, indices) along `dim`, or the elementwise minimum with a Tensor.

        Gradients:
            With `dim` to the element at `indices`; without it in equal parts to all minimal elements.
        """
        return TensorMethods._minmax(self, "min", dim if axis is None else axis, keepdim or keepdims)

    def _minmax(self, name: str, dim: Any, keepdim: Any) -> Any:
        if not isinstance(self, TensorMethods):
            raise TypeError(f"{name}: expected a Tensor, got {type(self).__name__}; use tensor(...)")
        if isinstance(dim, TensorMethods):
            return OPS[f"{name}imum"](self, dim)
        if dim is None:
            return OPS[f"a{name}"](self, nan_ties=True)
        indices = OPS[f"arg{name}"](self, dim, True)
        if not self.shape:
            return MinMax(OPS["clone"](self), indices)
        xp = backend.namespace(self.array)
        grid = (xp.arange(n).reshape(n, *[1] * (len(self.shape) - i - 1)) for i, n in enumerate(self.shape))
        index = [*grid]
        index[dim] = indices.array
        values = OPS["getitem"](self, index=tuple(index))
        return MinMax(*(each if keepdim else each.squeeze(dim) for each in (values, indices)))

    # Shape
    transpose = swapaxes = method("transpose")
    unsqueeze, squeeze, flatten = method("expand_dims"), method("squeeze"), method("flatten")
    clone = method("clone")

    def __getitem__(self, index: Any) -> Tensor:
        """Select elements by integers, slices, None, ..., masks, or Tensors and lists of positions, as torch does."""
        y: Any = self
        for step in index_steps(self.array, index):
            check_bounds(y.array.shape, step)
            y = OPS["getitem"](y, index=step)
        return y

    def reshape(self, *shape: Any) -> Tensor:
        """The elements in row-major order in another shape; one size may be -1: `x.reshape(-1, 784)`."""
        return OPS["reshape"](self, sizes(shape))

    def view(self, *shape: Any) -> Tensor:
        """As `reshape`. Unlike torch's, which raises, it copies an array that is not contiguous."""
        try:
            return OPS["reshape"](self, sizes(shape))
        except (TypeError, ValueError) as error:
            raise type(error)(str(error).replace("reshape", "view", 1)) from error

    def permute(self, *dims: Any) -> Tensor:
        """Reorder the axes: y.shape[i] = x.shape[dims[i]]."""
        return OPS["permute"](self, sizes(dims))

    def broadcast_to(self, *shape: Any) -> Tensor:
        """Repeat along axes of size 1 and new leading axes, without a copy."""
        return OPS["broadcast_to"](self, sizes(shape))

    def expand(self, *shape: Any) -> Tensor:
        """As `broadcast_to`, where -1 keeps the size of an axis."""
        new, added = sizes(shape), len(sizes(shape)) - len(self.shape)
        if -1 in new[: max(added, 0)]:
            raise ShapeError(
                f"expand: expected a size for each of the {added} new axes of {self.shape}, got -1 in {new}"
            )
        old = (1,) * added + self.shape
        return OPS["broadcast_to"](self, tuple(n if m == -1 else m for n, m in zip(old, new)))

    def t(self) -> Tensor:
        """The transpose of a matrix, as `T`."""
        return self.T

    @property
    def T(self) -> Tensor:
        """The transpose of a matrix (n, m) -> (m, n). Raises ValueError for another number of axes."""
        if len(self.shape) != 2:
            raise ValueError(f"T: expected a matrix (n, m), got shape {self.shape}; use x.transpose(dim0, dim1)")
        return OPS["transpose"](self, 0, 1)

    # Device and dtype
    def to(self, *target: Any, device: Any = None, dtype: Any = None, non_blocking: bool = False) -> Tensor:
        """Move or cast: `to("cuda")`, `to(float64)`, `to(device, dtype)`, `to(other)`.

        Returns self if nothing changes. `non_blocking` is accepted and has no effect.

        Gradients:
            dL/dx = g, moved and cast the other way

        Raises:
            DeviceError: the device is not available.
        """
        for given in target:
            if isinstance(given, TensorMethods):
                device, dtype = given.device, given.dtype
            elif isinstance(given, (str, backend.device)):
                device = given
            else:
                dtype = given
        result: Any = self
        if dtype is not None and backend.dtype_of(dtype) != self.dtype:
            result = OPS["cast"](result, dtype=backend.dtype_of(dtype))
        if device is not None and backend.device(device) != self.device:
            result = OPS["move"](result, device=backend.device(device), source=self.device)
            if self.ndim == 1 and self.dtype.kind in "iu" and self.device.type == "cpu" and result.dtype == self.dtype:
                note_range(result, self.array)  # a loss that read the labels on the device would wait for it
        return result

    def cpu(self) -> Tensor:
        """Move to the CPU."""
        return self.to("cpu")

    def cuda(self) -> Tensor:
        """Move to the CUDA device."""
        return self.to("cuda")

    def astype(self, dtype: Any) -> Tensor:
        """As `to(dtype)`; NumPy's name."""
        return self.to(dtype=dtype)

    def float(self) -> Tensor:
        """As `to(float32)`."""
        return self.to(dtype=backend.float32)

    def double(self) -> Tensor:
        """As `to(float64)`."""
        return self.to(dtype=backend.float64)

    def long(self) -> Tensor:
        """As `to(int64)`; truncates."""
        return self.to(dtype=backend.int64)

    def int(self) -> Tensor:
        """As `to(int32)`; truncates."""
        return self.to(dtype=backend.int32)

    def bool(self) -> Tensor:
        """As `to(bool)`: True where x != 0."""
        return self.to(dtype=backend.bool_)

    # Conversion to Python numbers, and iteration
    def item(self) -> Any:
        """The value of a Tensor of one element as a Python number. Raises ValueError for more or fewer elements."""
        if self.array.size != 1:
            raise ValueError(f"item: expected a Tensor of one element, got shape {self.shape}; use x.tolist()")
        return self.array.item()

    def __float__(self) -> builtins.float:
        return builtins.float(self.item())

    def __int__(self) -> builtins.int:
        return builtins.int(self.item())

    def __bool__(self) -> builtins.bool:
        return builtins.bool(self.item())

    def __index__(self) -> builtins.int:
        if self.dtype.kind not in "biu":
            raise TypeError(f"an index must be an integer, got a Tensor of dtype {self.dtype}")
        return builtins.int(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __len__(self) -> builtins.int:
        if not self.shape:
            raise TypeError("len: a 0-d Tensor has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))
