"""Containers by name, and containers of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..autograd.tensor import Tensor
from .module import Module, Parameter


class ModuleDict(Module):
    """Submodules by name, which a plain dict would hide from the Module that holds it.

    Example:
        >>> import minigrad as mg
        >>> layers = mg.nn.ModuleDict({"first": mg.nn.Linear(2, 3), "act": mg.nn.ReLU()})
        >>> [*layers], layers["act"]
        (['first', 'act'], ReLU())
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()) -> None:
        self.update(modules)

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace submodules."""
        for name, module in modules.items() if isinstance(modules, Mapping) else modules:
            self[name] = module

    def __getitem__(self, name: str) -> Module:
        """The module of this name. Raises KeyError if there is none."""
        return self._modules[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def __delitem__(self, name: str) -> None:
        """Remove the module of this name. Raises KeyError if there is none."""
        self._modules[name]
        delattr(self, name)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> Iterable[Module]:
        """The submodules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Names and submodules."""
        return self._modules.items()


class ParameterList(Module):
    """A list of parameters, which a plain list would hide from the Module that holds it. Tensors become Parameters."""

    def __init__(self, values: Iterable[Tensor] = ()) -> None:
        for value in values:
            self.append(value)

    def append(self, value: Tensor) -> ParameterList:
        """Add a parameter at the end; returns self."""
        setattr(self, str(len(self)), value if isinstance(value, Parameter) else Parameter(value))
        return self

    def _values(self) -> list[Parameter]:
        return [value for value in vars(self).values() if isinstance(value, Parameter)]

    def __len__(self) -> int:
        return len(self._values())

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._values())

    def __getitem__(self, index: Any) -> Any:
        return self._values()[index]
