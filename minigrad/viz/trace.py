"""What a Tensor was computed from, as a list: every Tensor on the way, named, in the order of computation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import backend
from ..autograd.graph import Node
from ..autograd.op import Op
from ..autograd.tensor import Tensor
from ..nn.module import Module
from .formatting import SUBSCRIPTS, number

LOSSES = ("cross_entropy", "softmax_cross_entropy", "nll_loss", "mse_loss", "binary_cross_entropy_with_logits")


@dataclass
class Vertex:
    """One Tensor of the graph: a parameter, data, or what an op made."""

    index: int
    tensor: Tensor
    kind: str  # "parameter", "data" or "op"
    node: Node | None = None
    inputs: list[tuple[int, int]] = field(default_factory=list)  # (position among the arguments, vertex)
    constants: list[tuple[int, Any]] = field(default_factory=list)  # (position, Python number)
    users: list[tuple[int, int]] = field(default_factory=list)  # (vertex, position there)
    name: str = ""
    module: str = ""  # the dotted name of the Module it belongs to, as far as its parameters tell
    is_loss: bool = False  # part of the loss rather than of the prediction

    @property
    def op(self) -> Op | None:
        """The op that made it; None for a leaf."""
        return None if self.node is None else self.node.op

    @property
    def deed(self) -> str:
        """The op's name as a caller knows it."""
        return "" if self.op is None else self.op.name.removeprefix("softmax_")

    def argument(self, position: int) -> str:
        """The name that the op's formula gives to an argument: `x`, `w`."""
        assert self.op is not None
        return self.op.array_names[position] if position < len(self.op.array_names) else f"tensor{position}"


def host(array: Any) -> Any:
    """A copy of an array on the host; NumPy's scalars, which it makes of 0-d arrays, become arrays again."""
    owner = backend.LIBRARY_OF_TYPE.get(type(array))
    return backend.numpy.array(array if owner is None else owner.to_host(array))


def nodes_behind(tensor: Tensor) -> list[Tensor]:
    """The Tensors that ops made on the way to `tensor`, itself included, the oldest first."""
    found: dict[int, Tensor] = {}
    waiting = [tensor]
    while waiting:
        current = waiting.pop()
        node = current.grad_fn
        if node is None or node.created in found:
            continue
        if node.vjps is None:
            raise RuntimeError(
                "viz: this graph was freed by an earlier backward; draw it before backward, or call "
                "backward(retain_graph=True)"
            )
        found[node.created] = current
        waiting.extend(x for x in node.inputs if isinstance(x, Tensor))
    return [found[time] for time in sorted(found)]


def trace(loss: Tensor, model: Module | None = None, names: Mapping[str, Tensor] | None = None) -> list[Vertex]:
    """The graph behind `loss` in the order of computation: a leaf stands before the op that uses it first.

    Parameters have their names in `model`; `names` names other Tensors. Raises TypeError where `loss` is no Tensor
    or `model` no Module, RuntimeError where nothing was recorded or the graph is freed.
    """
    if not isinstance(loss, Tensor):
        raise TypeError(f"viz: expected the loss as a Tensor, got {type(loss).__name__}")
    if model is not None and not isinstance(model, Module):
        raise TypeError(f"viz: expected a Module as model, got {type(model).__name__}")
    if loss.grad_fn is None:
        raise RuntimeError(
            "viz: nothing was recorded for this Tensor: no op made it from one with requires_grad=True, or it was "
            "under no_grad"
        )
    called = {id(p): name for name, p in model.named_parameters()} if model is not None else {}
    called.update({id(tensor): name for name, tensor in (names or {}).items()})
    parameters = {id(p) for p in model.parameters()} if model is not None else set()

    vertices: list[Vertex] = []
    known: dict[int, int] = {}  # vertices by the identity of a leaf, or by the time of a node (negative)

    def key(tensor: Tensor) -> int:
        return id(tensor) if tensor.grad_fn is None else -1 - tensor.grad_fn.created

    def enter(tensor: Tensor, kind: str) -> Vertex:
        vertex = Vertex(len(vertices), tensor, kind, tensor.grad_fn, name=called.get(id(tensor), ""))
        known[key(tensor)] = vertex.index
        vertices.append(vertex)
        return vertex

    made = nodes_behind(loss)
    first_loss = next((t for t in made if t.grad_fn.op.name in LOSSES), loss)  # type: ignore[union-attr]
    for tensor in made:
        node = tensor.grad_fn
        assert node is not None
        for x in node.inputs:
            if isinstance(x, Tensor) and key(x) not in known:
                enter(x, "parameter" if x.requires_grad or id(x) in parameters else "data")
        vertex = enter(tensor, "op")
        vertex.is_loss = node.created >= first_loss.grad_fn.created  # type: ignore[union-attr]
        for position, x in enumerate(node.inputs):
            if isinstance(x, Tensor):
                source = vertices[known[key(x)]]
                vertex.inputs.append((position, source.index))
                source.users.append((vertex.index, position))
            elif x is not None:
                vertex.constants.append((position, x))
        owned = [called[id(x)] for x in node.inputs if id(x) in parameters]
        vertex.module = owned[0].rpartition(".")[0] if owned else ""
    name_rest(vertices)
    return vertices


def name_rest(vertices: list[Vertex]) -> None:
    """Names for the Tensors without one: the layer's, the op's, or the part they play; numbered where several."""
    nameless = [vertex for vertex in vertices if not vertex.name]
    for vertex in nameless:
        user = vertices[vertex.users[0][0]] if vertex.users else None
        if user is None:
            vertex.name = "loss"
        elif vertex.node is not None:
            layer = vertex.module.rpartition(".")[2]
            vertex.name = vertex.deed if not layer or layer.isdigit() else vertex.module
        elif vertex.kind == "parameter":
            vertex.name = "leaf"
        else:
            vertex.name = "target" if user.is_loss else "input"
    count = Counter(vertex.name for vertex in nameless)
    seen: Counter[str] = Counter()
    for vertex in nameless:
        if count[vertex.name] > 1:
            seen[vertex.name] += 1
            vertex.name += str(seen[vertex.name]).translate(SUBSCRIPTS)


def title(vertex: Vertex) -> str:
    """What stands on a vertex: the name, with the op and the Python numbers that went in."""
    if vertex.op is None:
        return vertex.name
    numbers = "".join(f" with {number(c)}" for _, c in vertex.constants if isinstance(c, (int, float)))
    own = vertex.name.rstrip("₀₁₂₃₄₅₆₇₈₉") == vertex.deed
    return f"{vertex.name}{numbers}" if own else f"{vertex.name} = {vertex.deed}{numbers}"
