"""The graph behind a Tensor as a list: every Tensor it was computed from, named, in the order of computation."""

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
PUBLIC_NAMES = {"softmax_cross_entropy": "cross_entropy", "cast": "to", "move": "to", "expand_dims": "unsqueeze"}


@dataclass
class Vertex:
    """One Tensor of the graph: a parameter, data, or the output of an op."""

    index: int
    tensor: Tensor
    kind: str  # "parameter", "data" or "op"
    node: Node | None = None
    inputs: list[tuple[int, int]] = field(default_factory=list)  # (position among the arguments, vertex)
    constants: list[tuple[int, Any]] = field(default_factory=list)  # (position, Python number)
    users: list[tuple[int, int]] = field(default_factory=list)  # (vertex, position there)
    name: str = ""
    module: str = ""  # the dotted name of the Module whose parameters the op uses
    is_loss: bool = False  # part of the loss rather than of the prediction

    @property
    def op(self) -> Op | None:
        """The op that computed it; None for a leaf."""
        return None if self.node is None else self.node.op

    @property
    def op_name(self) -> str:
        """The op's name in the public API; "" for a leaf."""
        return "" if self.op is None else PUBLIC_NAMES.get(self.op.name, self.op.name)


def host(array: Any) -> Any:
    """A copy of an array on the host. NumPy turns 0-d arrays into scalars; they become arrays again."""
    owner = backend.LIBRARY_OF_TYPE.get(type(array))
    return backend.numpy.array(array if owner is None else owner.to_host(array))


def op_outputs(tensor: Tensor) -> list[Tensor]:
    """The outputs of all recorded ops behind `tensor`, itself included, the oldest first."""
    found: dict[int, Tensor] = {}
    stack = [tensor]
    while stack:
        current = stack.pop()
        node = current.grad_fn
        if node is None or node.created in found:
            continue
        if node.vjps is None:
            raise RuntimeError(
                "viz: this graph was freed by an earlier backward; draw it before backward, or call "
                "backward(retain_graph=True)"
            )
        found[node.created] = current
        stack.extend(x for x in node.inputs if isinstance(x, Tensor))
    return [found[created] for created in sorted(found)]


def trace(loss: Tensor, model: Module | None = None, names: Mapping[str, Tensor] | None = None) -> list[Vertex]:
    """The graph behind `loss` in the order of computation; a leaf is placed before the first op that uses it.

    Parameters have their names in `model`; `names` names other Tensors. Raises TypeError if `loss` is not a Tensor or
    `model` not a Module, RuntimeError if nothing was recorded or the graph has been freed.
    """
    if not isinstance(loss, Tensor):
        raise TypeError(f"viz: expected the loss as a Tensor, got {type(loss).__name__}")
    if model is not None and not isinstance(model, Module):
        raise TypeError(f"viz: expected a Module as model, got {type(model).__name__}")
    if loss.grad_fn is None:
        raise RuntimeError(
            "viz: expected a loss with a graph, got a Tensor without grad_fn; compute it from a Tensor with "
            "requires_grad=True, outside no_grad"
        )
    name_of = {id(p): name for name, p in model.named_parameters()} if model is not None else {}
    name_of.update({id(tensor): name for name, tensor in (names or {}).items()})
    parameters = {id(p) for p in model.parameters()} if model is not None else set()

    vertices: list[Vertex] = []
    index_of: dict[int, int] = {}  # by the id of a leaf, or by the negative timestamp of a node

    def key(tensor: Tensor) -> int:
        return id(tensor) if tensor.grad_fn is None else -1 - tensor.grad_fn.created

    def add(tensor: Tensor, kind: str) -> Vertex:
        vertex = Vertex(len(vertices), tensor, kind, tensor.grad_fn, name=name_of.get(id(tensor), ""))
        index_of[key(tensor)] = vertex.index
        vertices.append(vertex)
        return vertex

    outputs = op_outputs(loss)
    first_loss = next((t for t in outputs if t.grad_fn.op.name in LOSSES), loss)  # type: ignore[union-attr]
    for tensor in outputs:
        node = tensor.grad_fn
        assert node is not None  # nosec B101 # for mypy
        for x in node.inputs:
            if isinstance(x, Tensor) and key(x) not in index_of:
                add(x, "parameter" if x.requires_grad or id(x) in parameters else "data")
        vertex = add(tensor, "op")
        vertex.is_loss = node.created >= first_loss.grad_fn.created  # type: ignore[union-attr]
        for position, x in enumerate(node.inputs):
            if isinstance(x, Tensor):
                source = vertices[index_of[key(x)]]
                vertex.inputs.append((position, source.index))
                source.users.append((vertex.index, position))
            elif x is not None:
                vertex.constants.append((position, x))
        used = [name_of[id(x)] for x in node.inputs if id(x) in parameters]
        vertex.module = used[0].rpartition(".")[0] if used else ""
    name_unnamed(vertices)
    return vertices


def name_unnamed(vertices: list[Vertex]) -> None:
    """Name the other Tensors after their layer, their op or their role, and number those of the same name."""
    unnamed = [vertex for vertex in vertices if not vertex.name]
    for vertex in unnamed:
        user = vertices[vertex.users[0][0]] if vertex.users else None
        if user is None:
            vertex.name = "loss"
        elif vertex.node is not None:
            layer = vertex.module.rpartition(".")[2]
            vertex.name = vertex.op_name if not layer or layer.isdigit() else vertex.module
        elif vertex.kind == "parameter":
            vertex.name = "leaf"
        else:
            vertex.name = "target" if user.is_loss else "input"
    count = Counter(vertex.name for vertex in unnamed)
    seen: Counter[str] = Counter()
    for vertex in unnamed:
        if count[vertex.name] > 1:
            seen[vertex.name] += 1
            vertex.name += str(seen[vertex.name]).translate(SUBSCRIPTS)


def title(vertex: Vertex) -> str:
    """The first line of a box: the name, with the op and its Python numbers."""
    if vertex.op is None:
        return vertex.name
    numbers = "".join(f" with {number(c)}" for _, c in vertex.constants if isinstance(c, (int, float)))
    own = vertex.name.rstrip("₀₁₂₃₄₅₆₇₈₉") == vertex.op_name
    return f"{vertex.name}{numbers}" if own else f"{vertex.name} = {vertex.op_name}{numbers}"
