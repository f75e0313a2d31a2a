"""Parameter, a Tensor that a model learns, and Module, which finds the parameters in its attributes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count, repeat
from reprlib import recursive_repr
from typing import Any, NamedTuple, TypeVar

from ..autograd import hooks
from ..autograd.commit import commit
from ..autograd.hooks import RemovableHandle
from ..autograd.tensor import Tensor, expect_tensor
from ..autograd.version_counter import bump_version
from ..creation import tensor

Self = TypeVar("Self", bound="Module")


class Parameter(Tensor):
    """A Tensor that is a parameter of the Module whose attribute it is. It requires a gradient by default.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.Parameter(mg.ones(2))
        Parameter containing:
        tensor([1., 1.], requires_grad=True)
    """

    def __init__(self, data: Tensor, requires_grad: bool = True) -> None:
        expect_tensor("Parameter", "data", data)
        super().__init__(data.array, requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class IncompatibleKeys(NamedTuple):
    """The result of `load_state_dict`: the names that were missing, and those that the Module does not have."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """A model or a part of one. A subclass assigns its parameters and submodules to attributes and defines `forward`.

    Parameters and submodules are found among the attributes, in the order of assignment. Those in a plain list are not
    found; use Sequential or ModuleList. A Module that occurs several times counts once.

    Attributes:
        training: True in training mode; see `train` and `eval`.

    Example:
        >>> import minigrad as mg
        >>> class Scale(mg.nn.Module):
        ...     def __init__(self):
        ...         self.factor = mg.nn.Parameter(mg.tensor(2.0))
        ...
        ...     def forward(self, x):
        ...         return self.factor * x
        >>> scale = Scale()
        >>> scale(mg.tensor([1.0, 2.0])).tolist()
        [2.0, 4.0]
        >>> [name for name, parameter in scale.named_parameters()]
        ['factor']
    """

    training = True
    _hooks: Mapping[str, dict[int, Any]] = {}  # by kind: "forward_pre", "forward", "backward"
    _buffers: Mapping[str, bool] = {}  # the names of the buffers, and whether they are part of the state_dict

    def forward(self, *inputs: Any) -> Any:
        """The output for these inputs. Each subclass defines its own."""
        raise NotImplementedError(f"{type(self).__name__}: a Module defines forward()")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        if self._hooks:
            return call_with_hooks(self, inputs, options)
        return self.forward(*inputs, **options)

    # Attributes
    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, (Parameter, Module)):
            check_name(self, name)
            if name in self._buffers:
                self._buffers = {other: self._buffers[other] for other in self._buffers if other != name}
        elif value is not None:
            old = vars(self).get(name)
            expected: type = object
            if name in self._buffers:
                expected = Tensor
            elif isinstance(old, (Parameter, Module)):
                expected = Parameter if isinstance(old, Parameter) else Module
            if not isinstance(value, expected):
                hint = "; use Parameter(x), or copy_ to change its elements" if expected is Parameter else ""
                given = f"expected a {expected.__name__} or None, got {type(value).__name__}"
                raise TypeError(f"{type(self).__name__}.{name}: {given}{hint}")
        super().__setattr__(name, value)

    def add_module(self, name: str, module: Module) -> None:
        """Assign a submodule to the attribute `name`.

        Raises:
            TypeError: `module` is not a Module, or `name` not a string.
            KeyError: `name` has a dot, is empty, or is another attribute.
        """
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: expected a Module, got {type(module).__name__}")
        check_name(self, name, new=name not in self._modules)
        setattr(self, name, module)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Assign a parameter to the attribute `name`. Raises KeyError if there is such an attribute."""
        check_name(self, name, new=True)
        setattr(self, name, param)

    def get_submodule(self, target: str) -> Module:
        """The submodule of a dotted name. Raises AttributeError if there is none."""
        found = dict(self.named_modules())
        if target not in found:
            raise AttributeError(f"{type(self).__name__}: has no submodule {target!r}; see named_modules()")
        return found[target]

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Assign a Tensor that is part of the state, but not a parameter, to the attribute `name`.

        It moves with the Module and, if `persistent`, is part of the state_dict.

        Raises:
            TypeError: `tensor` is not a Tensor or None.
            KeyError: `name` has a dot, is empty, or is another attribute.
        """
        check_name(self, name, new=name not in self._buffers)
        if tensor is not None:
            expect_tensor(f"{type(self).__name__}.{name}", "buffer", tensor)
        setattr(self, name, tensor)
        self._buffers = {**self._buffers, name: persistent}

    @property
    def _modules(self) -> dict[str, Module]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Module)}

    # Submodules
    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The submodules that are attributes, with their names, each once."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        """The submodules that are attributes, each once."""
        return (module for _, module in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This Module and all its submodules, with dotted names, each once."""
        return self._named_modules(prefix, set())

    def _named_modules(self, prefix: str, seen: set[int]) -> Iterator[tuple[str, Module]]:
        if id(self) not in seen:
            seen.add(id(self))
            yield prefix, self
            for name, child in self._modules.items():
                yield from child._named_modules(f"{prefix}.{name}" if prefix else name, seen)

    def modules(self) -> Iterator[Module]:
        """This Module and all its submodules, each once."""
        return (module for _, module in self.named_modules())

    def apply(self: Self, function: Callable[[Module], Any]) -> Self:
        """Call `function` on every submodule, the innermost first, then on this Module; returns self."""
        for module in innermost_first(self, set()):
            function(module)
        return self

    # Parameters and buffers
    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All parameters with dotted names, in the order of assignment, each once."""
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{prefix}.{name}" if prefix else name, value

    def parameters(self) -> Iterator[Parameter]:
        """All parameters, in the order of assignment, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """All buffers with dotted names, each once."""
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name in module._buffers:
                value = vars(module).get(name)
                if value is not None and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{prefix}.{name}" if prefix else name, value

    def buffers(self) -> Iterator[Tensor]:
        """All buffers, each once."""
        return (buffer for _, buffer in self.named_buffers())

    # State
    def _named_state(self, prefix: str = "", parents: tuple[Module, ...] = ()) -> Iterator[tuple[str, Tensor]]:
        """Parameters and persistent buffers. A shared one has several names, as in torch; cycles are left out."""
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                yield prefix + name, value
        for name, persistent in self._buffers.items():
            if persistent and vars(self).get(name) is not None:
                yield prefix + name, vars(self)[name]
        for name, child in self._modules.items():
            if not any(child is parent for parent in (self, *parents)):
                yield from child._named_state(f"{prefix}{name}.", (self, *parents))

    def state_dict(self) -> dict[str, Tensor]:
        """The parameters and persistent buffers by dotted name. They share memory with the Module.

        Names and shapes are those of torch's state_dict.
        """
        return {name: value.detach() for name, value in self._named_state()}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy values into the parameters and buffers of the same names: all or, if Ctrl-C strikes, none.

        Args:
            state_dict: Tensors, arrays or torch tensors by name.
            strict: require that the names are those of `state_dict()`.

        Returns:
            The missing and the unexpected names.

        Raises:
            TypeError: `state_dict` is not a mapping.
            RuntimeError: shapes, dtypes or names differ. Nothing is changed then.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict: expected Tensors by name, got {type(state_dict).__name__}")
        own = dict(self._named_state())
        given = {name: tensor(value) for name, value in state_dict.items()}
        missing = [name for name in own if name not in given]
        unexpected = [name for name in given if name not in own]
        problems = [
            f"{name}: expected {value.shape} {value.dtype}, got {given[name].shape} {given[name].dtype}"
            for name, value in own.items()
            if name in given and (value.shape, value.dtype) != (given[name].shape, given[name].dtype)
        ]
        if strict:
            problems += [f"missing: {', '.join(missing)}"] * bool(missing)
            problems += [f"unexpected: {', '.join(map(str, unexpected))}"] * bool(unexpected)
        if problems:
            raise RuntimeError(f"load_state_dict of {type(self).__name__}: " + "; ".join(problems))
        arrays = [value.array for name, value in own.items() if name in given]
        values = [given[name].to(value.device).array for name, value in own.items() if name in given]
        bump_version(*arrays)
        commit(map(operator.setitem, arrays, repeat(...), values))
        return IncompatibleKeys(missing, unexpected)

    def to(self: Self, *target: Any, **options: Any) -> Self:
        """Move or cast all parameters, their gradients, and buffers, as `Tensor.to`; returns self.

        The Parameters remain the same objects. Buffers of integers are moved, but not cast.

        Raises:
            TypeError: the dtype is not of floating point.
        """
        for parameter in self.parameters():
            moved = parameter.detach().to(*target, **options)
            if moved.dtype.kind != "f":
                raise TypeError(f"to: expected a floating dtype for a Module, got {moved.dtype}")
            parameter.data = moved
            if parameter._grad is not None:
                parameter.grad = parameter._grad.to(*target, **options)
        for module in self.modules():
            for name in module._buffers:
                buffer = vars(module).get(name)
                if buffer is not None:
                    moved = buffer.to(*target, **options)
                    setattr(module, name, moved if buffer.dtype.kind == "f" else buffer.to(moved.device))
        return self

    def cpu(self: Self) -> Self:
        """Move the Module to the CPU."""
        return self.to("cpu")

    def cuda(self: Self) -> Self:
        """Move the Module to the CUDA device."""
        return self.to("cuda")

    def float(self: Self) -> Self:
        """Cast to float32."""
        return self.to(dtype="float32")

    def double(self: Self) -> Self:
        """Cast to float64."""
        return self.to(dtype="float64")

    # Hooks
    def register_forward_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, inputs)` before each forward; what it returns, if not None, replaces the inputs."""
        return self._register_hook("forward_pre", hook)

    def register_forward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, inputs, output)` after each forward; what it returns, if not None, replaces the output.

        Example:
            >>> import minigrad as mg
            >>> layer = mg.nn.ReLU()
            >>> handle = layer.register_forward_hook(lambda module, inputs, output: print(output.shape))
            >>> y = layer(mg.ones(2, 3))
            (2, 3)
        """
        return self._register_hook("forward", hook)

    def register_full_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` in the backward pass, with tuples of dL/dinput and dL/doutput.

        It sees the gradients of the first input and the output, and cannot replace them.
        """
        return self._register_hook("backward", hook)

    def _register_hook(self, kind: str, hook: Callable[..., Any]) -> RemovableHandle:
        self._hooks = {**self._hooks, kind: self._hooks.get(kind, {})}
        return RemovableHandle(self._hooks[kind], hook)

    # Modes and gradients
    def train(self: Self, mode: bool = True) -> Self:
        """Set training mode, here and in all submodules; Dropout is active in it. Returns self."""
        if not isinstance(mode, bool):
            raise TypeError(f"train: expected True or False, got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """Set evaluation mode, here and in all submodules; Dropout returns its input. Returns self."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Set `requires_grad` of all parameters; False freezes them. Returns self."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients of all parameters to None, or to zeros."""
        zero_grad(list(self.parameters()), set_to_none)

    # Text
    def extra_repr(self) -> str:
        """The options that the repr of this Module shows."""
        return ""

    @recursive_repr()
    def __repr__(self) -> str:
        lines = [f"  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in self._modules.items()]
        inside = "\n" + "\n".join(lines) + "\n" if lines else self.extra_repr()
        return f"{type(self).__name__}({inside})"


def call_with_hooks(module: Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """module.forward(*inputs), with the hooks of the module."""
    for check in hooks.before_use:
        check()
    for hook in list(module._hooks.get("forward_pre", {}).values()):
        replaced = hook(module, inputs)
        if replaced is not None:
            inputs = replaced if isinstance(replaced, tuple) else (replaced,)
    backward = list(module._hooks.get("backward", {}).values())
    first: Any = inputs[0] if inputs else None
    observed = backward and isinstance(first, Tensor) and first.requires_grad
    if observed:  # a copy: the gradient of the input by this module alone
        first = first.clone()
        inputs = (first, *inputs[1:])
    output = module.forward(*inputs, **options)
    for hook in list(module._hooks.get("forward", {}).values()):
        replaced = hook(module, inputs, output)
        output = output if replaced is None else replaced
    if backward and isinstance(output, Tensor) and output.requires_grad:
        if output is first:
            output = output.clone()
        latest: list[Any] = []

        def call(grad_input: Any) -> None:
            for hook in backward:
                hook(module, (grad_input,), tuple(latest))

        output.register_hook(lambda g: latest.__setitem__(slice(None), [g]))
        if observed:
            first.register_hook(call)
        else:
            output.register_hook(lambda g: call(None))
    return output


RESERVED = {*vars(Module), *vars(object)}


def check_name(module: Module, name: str, new: bool = False) -> None:
    """Raise TypeError or KeyError for a name that is invalid for a parameter, submodule or buffer, or not `new`."""
    owner = type(module).__name__
    if not isinstance(name, str):
        raise TypeError(f"{owner}: expected a string as name, got {type(name).__name__}")
    if name == "" or "." in name:
        raise KeyError(f"{owner}: expected a name without dots, got {name!r}; a state_dict joins names with dots")
    if name in RESERVED or (new and hasattr(module, name)):
        raise KeyError(f"{owner}: has an attribute {name!r} already; choose another name")


def innermost_first(module: Module, visited: set[int]) -> Iterator[Module]:
    """The submodules of a Module, then itself, each once."""
    if id(module) not in visited:
        visited.add(id(module))
        for child in list(module.children()):
            yield from innermost_first(child, visited)
        yield module


def zero_grad(parameters: list[Any], set_to_none: bool) -> None:
    """Reset gradients to None, or existing ones to zeros: all or, if Ctrl-C strikes, none."""
    if set_to_none:
        commit(map(setattr, parameters, GRAD, NONE))
    else:
        grads = [parameter._grad.array for parameter in parameters if parameter._grad is not None]
        bump_version(*grads)
        commit(map(operator.setitem, grads, repeat(...), repeat(0)))


GRAD, NONE = repeat("_grad"), repeat(None)

Modules = TypeVar("Modules", bound="ModuleList")


class ModuleList(Module):
    """A list of submodules, which a plain list would hide from the Module that holds it.

    Example:
        >>> import minigrad as mg
        >>> layers = mg.nn.ModuleList([mg.nn.Linear(2, 3), mg.nn.Linear(3, 1)])
        >>> [name for name, parameter in layers.named_parameters()]
        ['0.weight', '0.bias', '1.weight', '1.bias']
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        for module in modules:
            self.append(module)

    def append(self: Modules, module: Module) -> Modules:
        """Add a submodule at the end; returns self. Raises TypeError for anything else."""
        names = self._modules
        self.add_module(next(name for name in map(str, count(len(names))) if name not in names), module)
        return self

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __getitem__(self, index: int | slice) -> Any:
        modules = list(self)
        return type(self)(modules[index]) if isinstance(index, slice) else modules[index]
