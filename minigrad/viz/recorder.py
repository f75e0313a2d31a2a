"""Record one real training step: the value of every op, every VJP call of the backward pass, and every update.

The engine is unchanged: for one backward, the VJPs of the nodes are wrapped in functions that record and delegate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..autograd.graph import VJP, Node
from ..autograd.op import unbroadcast
from ..autograd.tensor import Tensor
from ..nn.module import Module
from ..optim import SGD, Optimizer
from .trace import Vertex, host, trace


@dataclass
class VJPCall:
    """One call of a VJP: from the gradient of an op's output to the gradient of one of its inputs."""

    vertex: int  # the op's output
    position: int  # of the input among the arguments
    target: int  # the vertex of the input
    g: Any  # dL/dy
    raw: Any  # the VJP's result, in the shape of the broadcast input
    result: Any  # dL/dx: broadcasting undone


@dataclass
class Update:
    """The update of one parameter by the optimizer."""

    vertex: int
    before: Any
    gradient: Any
    after: Any
    lr: float
    step: Any | None  # lr · gradient for plain SGD, w ← w - lr · gradient; else None


@dataclass
class Recording:
    """One training step. All arrays are copies on the host.

    Attributes:
        vertices: the Tensors of the graph, in the order of computation.
        values: the array of each vertex.
        shapes: the shape of each vertex.
        vjp_calls: the VJP calls of the backward pass, in order.
        earlier_grads: `.grad` of the leaves that had one before this backward.
        gradients: dL/dx by vertex, all contributions accumulated.
        updates: the update of each parameter; empty without an optimizer.
        optimizer: the name of its class.
    """

    vertices: list[Vertex]
    values: list[Any]
    shapes: list[tuple[int, ...]]
    vjp_calls: list[VJPCall] = field(default_factory=list)
    earlier_grads: dict[int, Any] = field(default_factory=dict)
    gradients: dict[int, Any] = field(default_factory=dict)
    updates: list[Update] = field(default_factory=list)
    optimizer: str = ""

    def contributions(self, vertex: int) -> list[Any]:
        """The gradients that are accumulated at a vertex, in order."""
        earlier = [self.earlier_grads[vertex]] if vertex in self.earlier_grads else []
        return earlier + [call.result for call in self.vjp_calls if call.target == vertex]

    def gradient_of(self, name: str) -> Any:
        """dL/dx of the Tensor with this name. Raises KeyError if it has none."""
        for i, gradient in self.gradients.items():
            if self.vertices[i].name == name:
                return gradient
        raise KeyError(name)


def record_vjps(
    node: Node, vertex: Vertex, targets: dict[int, int], shapes: list[tuple[int, ...]], calls: list[VJPCall]
) -> None:
    """Wrap the VJPs of a node, so that each call is appended to `calls`."""
    assert node.vjps is not None  # nosec B101 # for mypy

    def recording_vjp(position: int, vjp: VJP) -> VJP:
        core_ndim = None if node.op.variadic else node.op.core_ndim[position]
        target = targets[position]

        def call(g: Any) -> Any:
            dx = vjp(g)
            raw = host(dx)
            same = raw.shape == shapes[target] or core_ndim is None
            result = raw if same else unbroadcast(raw, shapes[target], core_ndim or 0)
            calls.append(VJPCall(vertex.index, position, target, host(g), raw, result))
            return dx

        return call

    node.vjps = [recording_vjp(i, vjp) if vjp and i in targets else vjp for i, vjp in enumerate(node.vjps)]


def record(
    loss: Tensor,
    model: Module | None = None,
    optimizer: Optimizer | None = None,
    names: Mapping[str, Tensor] | None = None,
) -> Recording:
    """Run and record backward and, with an optimizer, step and zero_grad.

    It is a real step: the parameters change. Raises TypeError for an argument of a wrong type, ValueError for a loss of
    more than one number, and the errors of `trace`.
    """
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise TypeError(f"player: expected an Optimizer as optimizer, got {type(optimizer).__name__}")
    vertices = trace(loss, model, names)
    if loss.numel() != 1:
        raise ValueError(f"player: expected a loss of one number, got shape {loss.shape}; use loss.mean()")
    values = [host(vertex.tensor.array) for vertex in vertices]
    shapes = [vertex.tensor.shape for vertex in vertices]
    recording = Recording(vertices, values, shapes)
    unwrapped = [(vertex.node, vertex.node.vjps) for vertex in vertices if vertex.node is not None]
    for vertex in vertices:
        if vertex.node is not None:
            record_vjps(vertex.node, vertex, dict(vertex.inputs), shapes, recording.vjp_calls)
        elif vertex.tensor.grad is not None:
            recording.earlier_grads[vertex.index] = host(vertex.tensor.grad.array)
    try:
        loss.backward()
    finally:
        for node, vjps in unwrapped:
            if node.vjps is not None:  # not processed, because backward raised
                node.vjps = vjps
    for call in recording.vjp_calls:
        recording.gradients[call.vertex] = call.g
    for vertex in vertices:
        if vertex.node is None and vertex.tensor.grad is not None:
            recording.gradients[vertex.index] = host(vertex.tensor.grad.array)
    if optimizer is not None:
        record_update(recording, optimizer)
    return recording


def record_update(recording: Recording, optimizer: Optimizer) -> None:
    """Run step and zero_grad, and record the update of each parameter in the graph."""
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    recording.optimizer = type(optimizer).__name__
    updated = [v for v in recording.vertices if id(v.tensor) in groups and v.index in recording.gradients]
    optimizer.step()
    for vertex in updated:
        group, g = groups[id(vertex.tensor)], recording.gradients[vertex.index]
        extras = ("momentum", "weight_decay", "maximize")
        plain_sgd = type(optimizer) is SGD and not any(group[name] for name in extras)
        step = group["lr"] * g if plain_sgd else None
        before, after = recording.values[vertex.index], host(vertex.tensor.array)
        recording.updates.append(Update(vertex.index, before, g, after, group["lr"], step))
    optimizer.zero_grad()
