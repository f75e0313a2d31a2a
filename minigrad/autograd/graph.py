"""The computation graph, and the backward pass over it: reverse-mode automatic differentiation.

Every recorded op y = f(x₁, x₂, ...) adds a `Node` to the graph:

    x₁ ──┐
         ├──> Node(f) ──> y ──> ... ──> L, the loss
    x₂ ──┘

**The chain rule.** How does L change with xᵢ? Through y: dL/dxᵢ = dL/dy · dy/dxᵢ. For arrays dy/dxᵢ is a Jacobian
matrix J, far too large to build, and only the product gᵀJ with g = dL/dy is needed. The function g -> gᵀJ is the *VJP*
(vector-Jacobian product) of f for xᵢ. A node holds one for each input; `backward_pass` applies them from L back to the
leaves.

**Accumulation.** If x is used by several ops, L depends on it along several paths. By the multivariate chain rule their
contributions add up, so dL/dx is complete only after all ops that used x have been processed.

**Order.** An op is created after its inputs. So every consumer of x is newer than x, and processing the newest node
first is a reverse topological order: no graph search, no recursion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from ..backend import as_array
from . import version_counter
from .grad_mode import current_monitor
from .version_counter import clock, line_of_write, written_since

if TYPE_CHECKING:
    from .op import Op
    from .tensor import Tensor

VJP = Callable[[Any], Any]  # dL/dy -> dL/dx


class Node:
    """One recorded op, y = op(*inputs, **kwargs). In torch: `grad_fn`.

    inputs   the arguments: Tensors and Python numbers
    vjps     for each input the function dL/dy -> dL/dx; None if the input is not differentiable
    created  a timestamp, larger than that of every node behind the inputs. In torch: `sequence_nr`
    """

    __slots__ = ("created", "evidence", "inputs", "kwargs", "op", "vjps")
    evidence: Any  # kept by detect_anomaly

    def __init__(self, op: Op, inputs: tuple[Any, ...], kwargs: dict[str, Any], vjps: Sequence[VJP | None]) -> None:
        self.op = op
        self.inputs = inputs
        self.kwargs = kwargs
        self.vjps: Sequence[VJP | None] | None = vjps
        self.created = next(clock)

    def __repr__(self) -> str:
        return f"<{self.op.name}>"

    def check_unmodified(self, y: Tensor) -> None:
        """Raise RuntimeError if an array that the VJPs may use, of an input or of the output y, has been modified."""
        for x in (*self.inputs, y, *arrays_in(self.kwargs.values())):
            array = getattr(x, "array", x)
            if type(x) not in NUMBERS and (
                getattr(x, "_assigned", -1) > self.created or written_since(array, self.created)
            ):
                line = line_of_write(array)
                used = f"; {self.op.name} was called in {self.evidence.line}" if hasattr(self, "evidence") else ""
                raise RuntimeError(
                    f"backward: a Tensor of shape {x.shape} was modified in place after {self.op.name} had used it, so "
                    "the gradient would be wrong; modify it after backward, or use x = x + y instead of x += y"
                    f"{used}{f'; it was modified in {line}' if line else ''}"
                )


NUMBERS = {int, float, bool, type(None)}  # arguments of an op that are not Tensors


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

    Returns (x, dL/dx) for each leaf, for each Tensor that called `retain_grad`, and for those in `keep`. Gradients are
    arrays and may share memory; with `create_graph` they are Tensors, recorded, so they can be differentiated again.
    """
    total: dict[Tensor, Any] = {}  # dL/dx so far, for each Tensor reached. In torch: the input buffers
    queue: list[tuple[int, Tensor, Node]] = []  # a heap of what to process, the newest node first
    retained: list[tuple[Tensor, Any]] = []
    monitor = current_monitor()

    def accumulate(x: Tensor, dx: Any) -> None:
        if x in total:  # x was used more than once: the contributions add up
            both = as_array(total[x] + dx)
            if monitor:
                monitor.check_sum(total[x], dx, both)
            total[x] = both
        else:
            total[x] = dx
            node = x.grad_fn
            if node is not None:
                heappush(queue, (-node.created, x, node))

    for y, g in zip(outputs, grads):
        accumulate(y, g)
    while queue:
        _, y, node = heappop(queue)
        g = total.pop(y)  # complete: all ops that used y are newer, so they were processed before
        if y._retains_grad or y in keep:
            retained.append((y, g))
        if node.vjps is None:
            raise RuntimeError(
                "backward: this part of the graph was freed by an earlier backward; to run backward twice, pass "
                "retain_graph=True to the first call"
            )
        if version_counter.latest > node.created:
            node.check_unmodified(y)
        vjps: Any = node.op.differentiable_vjps(node) if create_graph else node.vjps
        if monitor:
            vjps = monitor.checked_vjps(node, vjps, y)
        for i, x in enumerate(node.inputs):
            if type(x) not in NUMBERS and x._requires_grad:
                dx = vjps[i](g)  # the chain rule, for this op and this input
                array = x.array
                if dx.shape != array.shape or dx.dtype is not array.dtype or type(dx) is not type(g):
                    dx = node.op.conform(dx, x, i)  # undo broadcasting. In torch: `sum_to_size`
                accumulate(x, dx)
        if not retain_graph:
            node.inputs, node.vjps = (), None  # and the arrays that they hold
    return [*retained, *total.items()]
