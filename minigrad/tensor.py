"""A Tensor: an array, and how it was made. Its `backward` walks from a loss to every gradient."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from . import anomaly, backend
from .grad_mode import clock, enable_grad
from .inplace import InPlace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .op import Op

    Rule = Callable[[Any], Any]


class Node:
    """How a Tensor was made: the op, what went in, and for each input the rule that takes dL/dy to dL/dx."""

    __slots__ = ("evidence", "inputs", "op", "rules", "static", "time")
    evidence: anomaly.Evidence  # only under detect_anomaly

    def __init__(self, op: Op, inputs: tuple[Any, ...], static: dict[str, Any], rules: Sequence[Rule | None]) -> None:
        self.op = op
        self.inputs = inputs
        self.static = static
        self.rules: Sequence[Rule | None] | None = rules
        self.time = next(clock)

    def __repr__(self) -> str:
        return f"<{self.op.name}>"


class Tensor(InPlace):
    """An array on its device, and, where it was computed from Tensors that require a gradient, how it was made.

    `array`          the NumPy or CuPy array
    `requires_grad`  True for a leaf whose gradient is wanted, and for all that is computed from one
    `grad`           dL/dself, a Tensor of the same shape, dtype and device, after `L.backward()`; None before
    `grad_fn`        the Node that made it; None for a leaf

    Make one with `minigrad.tensor(data)`.
    """

    _requires_grad = False
    _grad: Tensor | None = None
    grad_fn: Node | None = None
    _retains_grad = False
    _changed = -1  # when it was last changed in place
    _changed_in = ""  # the line, under detect_anomaly
    label_range: tuple[int, int] | None = None  # least and greatest element, where a DataLoader has looked already

    def __init__(self, array: Any, requires_grad: bool = False) -> None:
        if type(array) not in backend.OWNERS:
            raise TypeError(f"Tensor: expected an array of a device, got {type(array).__name__}; write tensor(data)")
        backend.dtype_of(array.dtype)
        self.array = array
        if requires_grad:
            self.requires_grad = True

    # What it is
    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """The length of each axis."""
        return self.array.shape

    @property
    def dtype(self) -> backend.DType:
        """The type of the elements."""
        return self.array.dtype

    @property
    def device(self) -> backend.device:
        """Where the array lives."""
        return backend.OWNERS[type(self.array)].device

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    def dim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the length of one axis."""
        return self.array.shape if dim is None else self.array.shape[dim]

    def numel(self) -> int:
        """The number of elements."""
        return self.array.size

    def __repr__(self) -> str:
        text = backend.text(self.array, "tensor(")
        if self.array.dtype not in (backend.float32, backend.int64, backend.bool_):
            text += f", dtype={self.array.dtype}"
        if self.device.type != "cpu":
            text += f", device='{self.device}'"
        if self.grad_fn is not None:
            text += f", grad_fn={self.grad_fn}"
        elif self.requires_grad:
            text += ", requires_grad=True"
        return f"tensor({text})"

    # Its gradient
    @property
    def is_leaf(self) -> bool:
        """True where no recorded op made it."""
        return self.grad_fn is None

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient flows to it."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if self.grad_fn is not None and not wanted:
            raise RuntimeError("requires_grad: only a leaf can stop requiring a gradient; write x.detach()")
        if wanted and self.array.dtype.kind != "f":
            raise TypeError(f"requires_grad: only float32 and float64 have gradients, got dtype {self.dtype}")
        self._requires_grad = bool(wanted)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set `requires_grad` and return self. Raises TypeError for integers."""
        self.requires_grad = requires_grad
        return self

    @property
    def grad(self) -> Tensor | None:
        """dL/dself, the sum over all backward calls since it was last set to None."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"grad: expected a Tensor or None, got {type(value).__name__}")
            mine, other = (self.shape, self.dtype, self.device), (value.shape, value.dtype, value.device)
            if mine != other:
                raise ValueError("grad: expected {} {} on {}, got {} {} on {}".format(*mine, *other))
        self._grad = value

    def retain_grad(self) -> None:
        """Keep `grad` also though an op made this Tensor. Raises RuntimeError where no gradient flows to it."""
        if not self._requires_grad:
            raise RuntimeError("retain_grad: this Tensor does not require a gradient")
        self._retains_grad = True

    def detach(self) -> Tensor:
        """The same array without its history: no gradient flows back from it. Memory is shared."""
        return wrap(self.array)

    @property
    def data(self) -> Tensor:
        """As `detach()`; assigning to it replaces the array."""
        return wrap(self.array)

    @data.setter
    def data(self, value: Tensor) -> None:
        expect_tensor("data", "value", value)
        self.array = value.array
        self._changed = next(clock)

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Sequence[Tensor] | Tensor | None = None,
    ) -> None:
        """Add dL/dx to `x.grad` of each leaf x that this Tensor was computed from, L = sum(gradient · self).

        `gradient` (same shape) may be left out for a Tensor of one element, where it is 1. The graph is freed unless
        `retain_graph`, which `create_graph` implies; with that the gradients are themselves recorded. `inputs` limits
        the Tensors that get a gradient. Raises RuntimeError where there is no graph (any more), or a shape is missing.
        """
        wanted = set() if inputs is None else {inputs} if isinstance(inputs, Tensor) else set(inputs)
        for x, g in walk([self], [gradient], wanted, retain_graph or create_graph, create_graph):
            if inputs is None or x in wanted:
                x._accumulate(g, create_graph)

    def _accumulate(self, g: Any, create_graph: bool) -> None:
        if create_graph:
            self._grad = g.clone() if self._grad is None else self._grad + g
        elif self._grad is None:
            self._grad = wrap(g)
        else:
            self._grad.array += g

    # Where it lives
    def numpy(self) -> Any:
        """The NumPy array, sharing memory. Raises where torch would: on a device, or where a gradient is required."""
        if self._requires_grad:
            raise RuntimeError("numpy: this Tensor requires a gradient; write x.detach().numpy()")
        if self.device.type != "cpu":
            raise TypeError(f"numpy: this Tensor lives on {self.device}; write x.cpu().numpy()")
        return self.array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        array = self.numpy()
        return array.astype(dtype) if dtype not in (None, array.dtype) else array.copy() if copy else array

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return self.array.tolist()


def expect_tensor(name: str, role: str, given: Any) -> None:
    """Raise TypeError for what is no Tensor."""
    if not isinstance(given, Tensor):
        raise TypeError(f"{name}: expected a Tensor as {role}, got {type(given).__name__}; write tensor(...)")


def wrap(array: Any, node: Node | None = None) -> Tensor:
    """A Tensor of an array that is known to be one; `node` says how it was made."""
    tensor = Tensor.__new__(Tensor)
    tensor.array = array
    if node is not None:
        tensor.grad_fn = node
        tensor._requires_grad = True
    return tensor


def seed(output: Tensor, gradient: Tensor | None, create_graph: bool) -> Any:
    """dL/doutput, where the walk begins: the gradient given, or 1."""
    if not output._requires_grad:
        raise RuntimeError(
            "backward: this Tensor was not computed from one with requires_grad=True, or was computed under no_grad, "
            "so there is no graph to walk; make a leaf with tensor(data, requires_grad=True)"
        )
    if gradient is None:
        if output.array.size != 1:
            raise RuntimeError(
                f"backward: a Tensor of shape {output.shape} is not one number; reduce it to a loss, or pass "
                f"gradient=dL/dself of shape {output.shape} and dtype {output.dtype}"
            )
        one = backend.OWNERS[type(output.array)].xp.asarray(1, output.array.dtype).reshape(output.array.shape)
        return wrap(one) if create_graph else one
    if not isinstance(gradient, Tensor):
        raise TypeError(f"backward: expected a Tensor as gradient, got {type(gradient).__name__}")
    mine, other = (output.shape, output.dtype, output.device), (gradient.shape, gradient.dtype, gradient.device)
    if mine != other:
        raise RuntimeError("backward: expected a gradient {} {} on {}, got {} {} on {}".format(*mine, *other))
    return gradient if create_graph else gradient.array


def walk(
    outputs: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    wanted: set[Tensor],
    retain_graph: bool | None,
    create_graph: bool,
) -> list[tuple[Tensor, Any]]:
    """Reverse-mode differentiation: (x, dL/dx) for each leaf x, each x that retains its gradient or is in `wanted`.

    A node is visited once all gradients that flow into its Tensor have come: nodes are visited from the youngest to the
    oldest, and what uses a Tensor is younger than it. A Tensor used twice gets the sum. Gradients are arrays, or with
    `create_graph` Tensors; those returned share no memory with each other.
    """
    arrived: dict[Tensor, Any] = {}  # dL/dTensor so far; in the end that of the leaves
    youngest: list[tuple[int, Tensor, Node]] = []  # a heap of what is to be visited: by the time of its node, negative
    kept: list[tuple[Tensor, Any]] = []
    watched = bool(anomaly.watching) and anomaly.is_watched()

    def arrive(x: Tensor, dx: Any, g: Any) -> None:
        """dx, which a rule made of g, flows into x."""
        if x in arrived:  # not in place: what came first may be another Tensor's gradient too
            total = backend.as_array(arrived[x] + dx)
            if watched:
                anomaly.inspect_sum(arrived[x], dx, total)
            arrived[x] = total
            return
        node = x.grad_fn
        if node is not None:
            arrived[x] = dx
            heappush(youngest, (-node.time, x, node))
        else:
            arrived[x] = dx if create_graph or is_own(dx, g, x) else own(dx, x)

    def visit_all() -> None:
        while youngest:
            _, tensor, node = heappop(youngest)
            g = arrived.pop(tensor)
            if tensor._retains_grad or tensor in wanted:
                kept.append((tensor, g if create_graph else own(g, tensor)))
            rules: Any = node.rules
            if rules is None:
                raise RuntimeError(
                    "backward: this part of the graph was freed by an earlier backward; to walk it twice, call the "
                    "first one with retain_graph=True"
                )
            if create_graph:
                rules = node.op.rules_on_tensors(node)
            if watched:
                rules = anomaly.watched_rules(node, rules, tensor)
            if tensor._changed > node.time:
                raise stale(tensor, node)
            for position, x in enumerate(node.inputs):
                if isinstance(x, Tensor):
                    if x._changed > node.time:
                        raise stale(x, node)
                    if x._requires_grad:
                        dx = rules[position](g)
                        array = x.array
                        if type(dx) is not type(g) or dx.shape != array.shape or dx.dtype is not array.dtype:
                            dx = node.op.fit(dx, x, position)
                        arrive(x, dx, g)
            if not retain_graph:
                node.inputs, node.rules = (), None  # let go of what went in and of what the rules remember

    for output, gradient in zip(outputs, gradients):
        g = seed(output, gradient, create_graph)
        arrive(output, g, g)
    backend.QUIET.copy().run(enable_grad()(visit_all) if create_graph else visit_all)
    return [*kept, *arrived.items()]


def is_own(dx: Any, g: Any, x: Tensor) -> bool:
    """Whether dx, which a rule made of g, is nobody else's array, neither g nor a view of it, and lies as x does."""
    if dx.strides != x.array.strides:
        return False
    base = dx.base
    if base is None:
        return dx is not g
    same_elements = base.size == dx.size > 0 and getattr(dx.flags, "writeable", True)  # NumPy's broadcast views are not
    return base is not g and base is not g.base and same_elements


def own(g: Any, tensor: Tensor) -> Any:
    """A copy of a gradient that is nobody else's, and lies in memory as its Tensor does."""
    copy = backend.OWNERS[type(g)].xp.empty_like(tensor.array)
    copy[...] = g
    return copy


def stale(tensor: Tensor, node: Node) -> RuntimeError:
    """The error where a Tensor that went into a node, or came out, was changed in place since: its rules are stale."""
    used = f"; {node.op.name} was called in {node.evidence.line}" if hasattr(node, "evidence") else ""
    changed = f"; it was changed in {tensor._changed_in}" if tensor._changed_in else ""
    return RuntimeError(
        f"backward: a Tensor of shape {tensor.shape} was changed in place after {node.op.name} had used it, so the "
        f"gradient would be wrong; change it after backward, or write x = x + y instead of x += y{used}{changed}"
    )


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """dL/dx for each x in `inputs`, L = sum over outputs of sum(grad_output · output); no `.grad` is touched.

    Raises RuntimeError for an input that no output depends on, unless `allow_unused` (its gradient is then None).
    """
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    for role, given in (("output", outputs), ("input", inputs)):
        for each in given:
            expect_tensor("grad", role, each)
    gradients = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs or [None] * len(outputs))
    if len(gradients) != len(outputs):
        raise ValueError(f"grad: expected one grad_output for each of {len(outputs)} outputs, got {len(gradients)}")
    retain = create_graph if retain_graph is None else retain_graph
    found = {id(tensor): g for tensor, g in walk(outputs, gradients, set(inputs), retain, create_graph)}
    for position, tensor in enumerate(inputs):
        if id(tensor) not in found and not allow_unused:
            raise RuntimeError(
                f"grad: no output depends on input {position} of shape {tensor.shape}; "
                "pass allow_unused=True to get None"
            )
    results = [found.get(id(tensor)) for tensor in inputs]
    return tuple(g if g is None or create_graph else wrap(g) for g in results)
