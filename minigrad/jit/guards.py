"""Guards: one function that compares, before each replay, everything that the trace depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from ..autograd.methods import OPS
from ..autograd.tensor import Tensor, value_range
from ..nn.module import Module, Parameter
from .program import compile_function
from .reads import Search
from .tracer import reject

Range: TypeAlias = tuple[int, int]  # the least and the greatest label
ENGINE = frozenset({"array", "grad_fn", "_grad", "_requires_grad", "_retains_grad", "_assigned", "_value_range"})
BUILT_IN = (*OPS,)


class Guards:
    """The conditions under which a trace with these inputs may be replayed.

    `accepts(inputs)` returns the arrays of inputs and parameters, or None if a condition does not hold.

    Raises:
        RuntimeError: the function reads what cannot be compared.
    """

    def __init__(
        self, function: Callable[..., Any], model: Module, inputs: Sequence[Tensor], label_ranges: dict[int, Range]
    ) -> None:
        self.parameters: list[Tensor] = list(model.parameters())
        search = search_all(function, model, inputs)
        names = [f"x{i}" for i in range(len(inputs))]
        tensors = [*zip(names, inputs), *[(search.constant(p), p) for p in self.parameters]]
        conditions = [
            *[condition for i, (_, x) in enumerate(tensors) for condition in of_array(search, f"a{i}", x)],
            *[condition for i in range(len(inputs)) for condition in self.of_input(search, i, inputs)],
            *search.conditions,
            *[f"contains({ends}, label_range(x{i}))" for i, ends in label_ranges.items()],
        ]
        arrays = "".join(f"a{i}, " for i in range(len(tensors)))
        source = f"""def accepts(inputs):
    try:
        [{", ".join(names)}] = inputs
        [{arrays}] = [{", ".join(f"{name}.array" for name, _ in tensors)}]
        if (
            {" and ".join(conditions)}
        ):
            return [{arrays}]
    except Exception:  # an item or attribute is gone
        pass
    return None
"""
        source = source.replace(" and ", "\n            and ")
        constants = {**search.constants, "contains": contains, "label_range": label_range}
        self.accepts: Callable[[Sequence[Tensor]], list[Any] | None] = compile_function(source, constants)

    def of_input(self, search: Search, position: int, inputs: Sequence[Tensor]) -> list[str]:
        """Conditions on an input: its type and attributes, and which other Tensor it is."""
        name, x = f"x{position}", inputs[position]
        readable = f"{name}.__dict__.keys() <= {search.constant(ENGINE)}"
        if not search.everything:
            readable = f"{search.constant(frozenset(search.attributes - ENGINE))}.isdisjoint({name}.__dict__)"
        if search.attributes & vars(x).keys() - ENGINE or (search.everything and vars(x).keys() - ENGINE):
            reject("the step reads an attribute that was added to an input; pass its value as a Tensor")
        return [
            f"type({name}) is {search.constant(type(x))} and {name}._requires_grad is {x._requires_grad}",
            f"{name}.grad_fn is None",
            *[f"{name} {'is' if x is other else 'is not'} x{j}" for j, other in enumerate(inputs[:position])],
            *[f"{name} is not {search.constant(p)}" for p in self.parameters if isinstance(x, Parameter)],
            readable,
        ]


def search_all(function: Callable[..., Any], model: Module, inputs: Sequence[Tensor]) -> Search:
    """All that a step can read, with its conditions. Repeated, as code that is found loads more names."""
    search, known = Search(), None
    while search.names_loaded() != known:
        known = search.names_loaded()
        search = Search(*known)
        search.visit(model, "model")
        search.visit(function, "the function")
        for x in inputs:
            search.bases(type(x), type(x).__name__)
        for name in BUILT_IN:
            search.visit(OPS[name], name)
    bases = Parameter.__mro__[:-1]
    for name in sorted(search.attributes & {key for base in bases for key in vars(base)} - ENGINE):
        for base in bases:  # a method of Tensor may be replaced
            search.item(vars(base), name, f"Tensor.{name}")
    search.condition("[*{}.values()] == {}", OPS, [*OPS.values()])
    return search


def of_array(search: Search, name: str, x: Tensor) -> list[str]:
    """Conditions on the array of an input or parameter: its type, dtype and layout."""
    array = x.array
    return [
        f"type({name}) is {search.constant(type(array))} and {name}.dtype.num == {array.dtype.num}",
        f"{name}.shape == {array.shape} and {name}.strides == {array.strides}",
    ]


def label_range(x: Tensor) -> Range:
    """The least and the greatest element of a Tensor of integers."""
    return value_range(x) or (int(x.array.min()), int(x.array.max()))


def contains(outer: Range, inner: Range) -> bool:
    """Whether a range lies in another."""
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def merge(a: Range, b: Range) -> Range:
    """The range of both together."""
    return min(a[0], b[0]), max(a[1], b[1])
