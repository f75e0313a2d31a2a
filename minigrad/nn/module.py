"""Parameter, a Tensor that a model learns; Module, which finds its parameters wherever they are."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import repeat
from typing import Any, NamedTuple, TypeVar

from ..autograd.commit import commit
from ..autograd.tensor import Tensor, expect_tensor
from ..autograd.version_counter import bump_version
from ..creation import tensor

Self = TypeVar("Self", bound="Module")


class Parameter(Tensor):
    """A Tensor that a Module counts among its parameters; it requires a gradient unless told otherwise."""

    def __init__(self, data: Tensor, requires_grad: bool = True) -> None:
        expect_tensor("Parameter", "data", data)
        super().__init__(data.array, requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` missed, and what it had no place for."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """A model, or a part of one: write `__init__` with its parameters and parts as attributes, and `forward`; call it.

    Parameters and Modules are found among the attributes, in the order of assignment. Those in a plain list are not:
    use Sequential or ModuleList.
    """

    training = True

    def forward(self, *inputs: Any) -> Any:
        """The output for these inputs; each Module writes its own."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(): write one")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return self.forward(*inputs, **options)

    # What it consists of
    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The parts that are attributes, with their names."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def children(self) -> Iterator[Module]:
        """The parts that are attributes."""
        return iter([value for value in vars(self).values() if isinstance(value, Module)])

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This Module and all inside it, with dotted names, each once."""
        seen: set[int] = set()
        for name, module in self._walk(prefix):
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def _walk(self, prefix: str) -> Iterator[tuple[str, Module]]:
        yield prefix, self
        for name, child in self.named_children():
            yield from child._walk(f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        """This Module and all inside it, each once."""
        return (module for _, module in self.named_modules())

    def _places(self) -> Iterator[tuple[str, Parameter]]:
        for prefix, module in self._walk(""):
            for name, value in vars(module).items():
                if isinstance(value, Parameter):
                    yield f"{prefix}.{name}" if prefix else name, value

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All parameters with dotted names, in the order of definition, a shared one once."""
        seen: set[int] = set()
        for name, parameter in self._places():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def parameters(self) -> Iterator[Parameter]:
        """All parameters, in the order of definition, a shared one once."""
        return (parameter for _, parameter in self.named_parameters())

    # Its state
    def state_dict(self) -> dict[str, Tensor]:
        """The parameters by their dotted names, sharing memory with the model; the names and shapes are torch's."""
        return {name: parameter.detach() for name, parameter in self._places()}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy values of the same names and shapes into the parameters; arrays and torch's tensors will do.

        Raises RuntimeError, with the model as it was, for a wrong shape or dtype, and if `strict` for names that are
        missing or not known.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict: expected values by name, got {type(state_dict).__name__}")
        places = dict(self._places())
        given = {name: tensor(value) for name, value in state_dict.items()}
        missing = [name for name in places if name not in given]
        unexpected = [name for name in given if name not in places]
        wrong = [
            f"{name}: expected {place.shape} {place.dtype}, got {given[name].shape} {given[name].dtype}"
            for name, place in places.items()
            if name in given and (place.shape, place.dtype) != (given[name].shape, given[name].dtype)
        ]
        if strict:
            wrong += [f"missing: {', '.join(missing)}"] * bool(missing)
            wrong += [f"unexpected: {', '.join(unexpected)}"] * bool(unexpected)
        if wrong:
            raise RuntimeError(f"load_state_dict of {type(self).__name__}: " + "; ".join(wrong))
        for name, place in places.items():
            if name in given:
                place.detach().copy_(given[name].to(place.device))
        return IncompatibleKeys(missing, unexpected)

    def apply(self: Self, function: Callable[[Module], Any]) -> Self:
        """Call `function` on every part, the innermost first, then on this Module; returns self."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def to(self: Self, *target: Any, **options: Any) -> Self:
        """Move or cast all parameters and their gradients, as `Tensor.to`; the Parameters stay the same objects."""
        for parameter in self.parameters():
            parameter.data = parameter.detach().to(*target, **options)
            if parameter.grad is not None:
                parameter.grad = parameter.grad.to(*target, **options)
        return self

    def cpu(self: Self) -> Self:
        """Move all parameters to the CPU."""
        return self.to("cpu")

    def cuda(self: Self) -> Self:
        """Move all parameters to the CUDA device."""
        return self.to("cuda")

    def float(self: Self) -> Self:
        """Cast all parameters to float32."""
        return self.to(dtype="float32")

    def double(self: Self) -> Self:
        """Cast all parameters to float64."""
        return self.to(dtype="float64")

    def train(self: Self, mode: bool = True) -> Self:
        """Training mode, here and in all parts: Dropout drops."""
        if not isinstance(mode, bool):
            raise TypeError(f"train: expected True or False, got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """Evaluation mode, here and in all parts: Dropout lets everything through."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Set `requires_grad` of all parameters; False freezes them."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients of all parameters to None, or to zeros."""
        zero_grad(list(self.parameters()), set_to_none)

    # How it looks
    def extra_repr(self) -> str:
        """What stands between the brackets of this Module's repr."""
        return ""

    def __repr__(self) -> str:
        lines = [f"  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.named_children()]
        inside = "\n" + "\n".join(lines) + "\n" if lines else self.extra_repr()
        return f"{type(self).__name__}({inside})"


def zero_grad(parameters: list[Any], set_to_none: bool) -> None:
    """Reset gradients to None, or those there are to zeros: all or, if Ctrl-C strikes, none."""
    if set_to_none:
        commit(map(setattr, parameters, GRAD, NONE))
    else:
        grads = [parameter._grad.array for parameter in parameters if parameter._grad is not None]
        bump_version(*grads)
        commit(map(operator.setitem, grads, repeat(...), repeat(0)))


GRAD, NONE = repeat("_grad"), repeat(None)

Modules = TypeVar("Modules", bound="ModuleList")


class ModuleList(Module):
    """A list of Modules that the Module around it finds: `self.layers = ModuleList([...])`."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        for module in modules:
            self.append(module)

    def append(self: Modules, module: Module) -> Modules:
        """Add a Module at the end; returns self. Raises TypeError for anything else."""
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: expected a Module, got {type(module).__name__}")
        setattr(self, str(len(list(self.children()))), module)
        return self

    def __len__(self) -> int:
        return len(list(self.children()))

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __getitem__(self, index: int | slice) -> Any:
        if not isinstance(index, slice):
            return list(self)[index]
        part = type(self)()
        for module in list(self)[index]:
            part.append(module)
        return part
