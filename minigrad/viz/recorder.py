"""One real training step, recorded: what every op computed, what every rule was given and gave, and every update.

The engine knows nothing of it. The rules of the nodes are replaced, for one backward, by ones that note and hand on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..autograd.graph import Node
from ..autograd.op import unbroadcast
from ..autograd.tensor import Tensor
from ..nn.module import Module
from ..optim import SGD, Optimizer
from .trace import Vertex, host, trace


@dataclass
class Pull:
    """One use of a rule: the gradient g of a node's output became the gradient of one of its inputs."""

    vertex: int  # whose op it is
    position: int  # of the argument
    target: int  # the vertex that the gradient goes to
    g: Any
    raw: Any  # what the rule gave, in the shape after broadcasting
    result: Any  # what arrived: broadcasting undone


@dataclass
class Update:
    """What the optimizer did to one parameter."""

    vertex: int
    before: Any
    gradient: Any
    after: Any
    lr: float
    step: Any | None  # lr · gradient, where the update is w ← w - lr · gradient and no more; else None


@dataclass
class Recording:
    """One training step. All arrays are copies on the host."""

    vertices: list[Vertex]
    values: list[Any]
    shapes: list[tuple[int, ...]]
    pulls: list[Pull] = field(default_factory=list)
    earlier: dict[int, Any] = field(default_factory=dict)  # gradients that leaves had before this backward
    gradients: dict[int, Any] = field(default_factory=dict)  # of each vertex, the sum of all that arrived
    updates: list[Update] = field(default_factory=list)
    optimizer: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def arrivals(self, vertex: int) -> list[Any]:
        """The gradients that came to a vertex, in order."""
        before = [self.earlier[vertex]] if vertex in self.earlier else []
        return before + [pull.result for pull in self.pulls if pull.target == vertex]

    def gradient_of(self, name: str) -> Any:
        """dL/dx of the Tensor of this name. Raises KeyError where there is none."""
        return next(g for i, g in self.gradients.items() if self.vertices[i].name == name)


def watch(node: Node, vertex: Vertex, targets: dict[int, int], shapes: list[tuple[int, ...]], note: list[Pull]) -> None:
    """Let the rules of a node note what they are given and what they give."""
    assert node.vjps is not None

    def noted(position: int, rule: Callable[[Any], Any]) -> Callable[[Any], Any]:
        core = None if node.op.variadic else node.op.core_ndim[position]
        target = targets[position]

        def noting(g: Any) -> Any:
            raw = rule(g)
            copy = host(raw)
            same = copy.shape == shapes[target] or core is None
            result = copy if same else unbroadcast(copy, shapes[target], core or 0)
            note.append(Pull(vertex.index, position, target, host(g), copy, result))
            return raw

        return noting

    node.vjps = [noted(i, rule) if rule and i in targets else rule for i, rule in enumerate(node.vjps)]


def record(
    loss: Tensor,
    model: Module | None = None,
    optimizer: Optimizer | None = None,
    names: Mapping[str, Tensor] | None = None,
) -> Recording:
    """Run backward and, where there is an optimizer, step and zero_grad, and note all of it.

    The step is a real one: afterwards the parameters have changed. Raises TypeError where an argument is no such thing,
    and as `trace` where there is no graph.
    """
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise TypeError(f"player: expected an Optimizer as optimizer, got {type(optimizer).__name__}")
    vertices = trace(loss, model, names)
    if loss.numel() != 1:
        raise ValueError(f"player: expected a loss of one number, got shape {loss.shape}; write loss.mean()")
    values = [host(vertex.tensor.array) for vertex in vertices]
    shapes = [vertex.tensor.shape for vertex in vertices]
    recording = Recording(vertices, values, shapes)
    plain: list[tuple[Node, Any]] = []
    for vertex in vertices:
        tensor = vertex.tensor
        if vertex.node is not None:
            plain.append((vertex.node, vertex.node.vjps))
            watch(vertex.node, vertex, dict(vertex.inputs), shapes, recording.pulls)
        elif tensor.grad is not None:
            recording.earlier[vertex.index] = host(tensor.grad.array)
    try:
        loss.backward()
    finally:
        for node, rules in plain:
            if node.vjps is not None:  # backward raised before it came here
                node.vjps = rules
    for pull in recording.pulls:
        recording.gradients[pull.vertex] = pull.g
    for vertex in vertices:
        if vertex.node is None and vertex.tensor.grad is not None:
            recording.gradients[vertex.index] = host(vertex.tensor.grad.array)
    if optimizer is not None:
        adjust(recording, optimizer)
    return recording


def adjust(recording: Recording, optimizer: Optimizer) -> None:
    """Run step and zero_grad, and note what became of each parameter in the graph."""
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    recording.optimizer = type(optimizer).__name__
    recording.options = {name: value for name, value in optimizer.param_groups[0].items() if name != "params"}
    changed = [v for v in recording.vertices if id(v.tensor) in groups and v.index in recording.gradients]
    optimizer.step()
    for vertex in changed:
        group, g = groups[id(vertex.tensor)], recording.gradients[vertex.index]
        extras = ("momentum", "weight_decay", "maximize")
        plain = type(optimizer) is SGD and not any(group[name] for name in extras)
        step = group["lr"] * g if plain else None
        before, after = recording.values[vertex.index], host(vertex.tensor.array)
        recording.updates.append(Update(vertex.index, before, g, after, group["lr"], step))
    optimizer.zero_grad()
