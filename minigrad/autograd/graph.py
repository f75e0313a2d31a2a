"""The computation graph, and the backward pass over it: reverse-mode automatic differentiation.

Every recorded op y = f(x₁, x₂, ...) adds a `Node` to the graph:

    x₁ ──┐
         ├──> Node(f) ──> y ──> ... ──> L, the loss
    x₂ ──┘

**The chain rule.** How does L change with xᵢ? Through y, by dL/dy · dy/dxᵢ. For arrays, dy/dxᵢ is a Jacobian matrix J,
far too large to build; only the product gᵀJ with g = dL/dy is needed, and it has the shape of xᵢ. The function g -> gᵀJ
is the *VJP* (vector-Jacobian product) of f for xᵢ. A node holds one VJP per input. `backward_pass` applies them, from L
back to the leaves.

**Accumulation.** If x is used by several ops, L depends on it along several paths. By the multivariate chain rule dL/dx
is the sum of the contributions of these ops, and is complete only after all of them have been processed.

**Order.** A node is created after the nodes that produced its inputs. So all nodes that used x are newer than the node
that produced x, and "newest first" is a reverse topological order, without a sort and without recursion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from ..backend import as_array
from . import hooks, version_counter
from .grad_mode import current_monitor
from .version_counter import clock, line_of_write, written_since

if TYPE_CHECKING:
    from .op import Op
    from .tensor import Tensor

VJP = Callable[[Any], Any]  # dL/dy -> dL/dx


class Node:
    """One recorded op, y = op(*inputs, **kwargs). In torch: `y.grad_fn`, whose inputs are nodes, here Tensors.

    inputs   the arguments: Tensors, Python numbers, None
    kwargs   the options, such as `dim`
    vjps     for each input, the function dL/dy -> dL/dx, or None if it is not differentiable; None after a backward
    created  a timestamp, larger than those of the nodes that produced the inputs. In torch: `sequence_nr`
    """

    __slots__ = ("call_site", "created", "inputs", "kwargs", "op", "vjps")
    call_site: Any  # set only under detect_anomaly

    def __init__(self, op: Op, inputs: tuple[Any, ...], kwargs: dict[str, Any], vjps: Sequence[VJP | None]) -> None:
        self.op = op
        self.inputs = inputs
        self.kwargs = kwargs
        self.vjps: Sequence[VJP | None] | None = vjps
        self.created = next(clock)

    def __repr__(self) -> str:
        return f"<{self.op.name}>"

    def check_unmodified(self, y: Tensor) -> None:
        """Raise RuntimeError if an array that the VJPs may use was modified: of an input, of y, or of an option."""
        for x in (*self.inputs, y, *arrays_in(self.kwargs.values())):
            array = getattr(x, "array", x)
            if type(x) not in NUMBERS and (
                getattr(x, "_assigned", -1) > self.created or written_since(array, self.created)
            ):
                line = line_of_write(array)
                used = f"; {self.op.name} was called in {self.call_site.line}" if hasattr(self, "call_site") else ""
                raise RuntimeError(
                    f"backward: a Tensor of shape {x.shape} was modified in place after {self.op.name} had used it, so "
                    "the gradient would be wrong; modify it after backward, or use x = x + y instead of x += y"
                    f"{used}{f'; it was modified in {line}' if line else ''}"
                )


NUMBERS = {int, float, bool, type(None)}  # the types of arguments that are not Tensors; None: left out


def arrays_in(options: Any) -> Iterator[Any]:
    """The arrays among the options of an op, such as the positions of an index."""
    for option in options:
        if isinstance(option, tuple):
            yield from arrays_in(option)
        elif hasattr(option, "shape"):
            yield option


def backward_pass(
    outputs: Sequence[Tensor],
    grads: Sequence[Any],
    keep: set[Tensor],
    retain_graph: bool | None = False,
    create_graph: bool = False,
) -> list[tuple[Tensor, Any]]:
    """Differentiate L = Σ grad · output with respect to the leaves of the graph. In JAX: `backward_pass`.

    Returns (x, dL/dx) for each leaf, for each Tensor on which `retain_grad()` was called, and for those in `keep`, the
    `inputs` of `grad`. `Tensor.backward` adds them to `.grad`. They are arrays, and may share memory with one another.
    With `create_graph` they are Tensors whose computation is recorded, so they can be differentiated again.
    """
    total: dict[Tensor, Any] = {}  # dL/dx so far, for each Tensor reached. In torch: the input buffers
    queue: list[tuple[int, Tensor, Node]] = []  # a heap of the nodes to process, with their outputs, newest first
    retained: list[tuple[Tensor, Any]] = []
    monitor = current_monitor()  # of detect_anomaly

    def accumulate(x: Tensor, dx: Any) -> None:
        if x in total:  # x was used more than once: the contributions add up
            summed = as_array(total[x] + dx)
            if monitor:
                monitor.check_sum(total[x], dx, summed)
            total[x] = summed
        else:
            total[x] = dx
            node = x.grad_fn
            if node is not None:
                heappush(queue, (-node.created, x, node))

    for y, g in zip(outputs, grads):
        accumulate(y, g)
    while queue:
        _, y, node = heappop(queue)
        g = total.pop(y) if y._hooks is None else hooks.apply_hooks(y, total.pop(y))  # complete: its users are newer
        if y._retains_grad or y in keep:
            retained.append((y, g))
        if node.vjps is None:
            raise RuntimeError(
                "backward: this part of the graph was freed by an earlier backward; to run backward twice, pass "
                "retain_graph=True to the first call"
            )
        if version_counter.latest > node.created:  # some array was modified since: one of this node?
            node.check_unmodified(y)
        vjps: Any = node.op.differentiable_vjps(node) if create_graph else node.vjps
        if monitor:
            vjps = monitor.checked_vjps(node, vjps, y)
        for i, x in enumerate(node.inputs):
            if type(x) not in NUMBERS and x._requires_grad:
                dx = vjps[i](g)  # the chain rule, for this op and this input
                array = x.array
                if dx.shape != array.shape or dx.dtype is not array.dtype or type(dx) is not type(g):
                    dx = node.op.conform(dx, x, i)  # the shape of x: undo broadcasting. In torch: `sum_to_size`
                accumulate(x, dx)
        if not retain_graph:
            node.inputs, node.vjps = (), None  # frees the arrays that they hold
    return [*retained, *zip(total, map(hooks.apply_hooks, total, total.values()))]  # only leaves are left in `total`
