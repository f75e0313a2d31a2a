"""The function under test: from float64 arrays on the host to float64 arrays on the host, whatever it computes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from .. import backend
from ..autograd.grad_mode import enable_grad
from ..autograd.tensor import Tensor, grad
from ..creation import zeros_like
from ..nn.module import Module

np = backend.numpy
Host = Any  # a float64 array of NumPy


class CheckedInput:
    """An input or parameter to check: the leaf that the function reads, and the point x around which it is checked."""

    def __init__(self, name: str, leaf: Tensor) -> None:
        self.name, self.leaf = name, leaf
        self.x = to_host(leaf).astype(np.float64)

    def set(self, x: Host) -> None:
        """Give the leaf a copy of x on its device."""
        self.leaf.array = to_device(x, self.leaf.device)


def to_host(tensor: Tensor) -> Host:
    """The elements on the CPU."""
    return backend.library_of(tensor.array).to_host(tensor.array)


def to_device(x: Host, device: backend.device) -> Any:
    """A copy of x as an array of a device."""
    return backend.library(device).from_host(np.array(x))


class FunctionUnderTest(NamedTuple):
    """A function, the arguments it is called with, and those of its inputs and parameters that are checked."""

    function: Callable[..., Any]
    args: list[Any]
    inputs: list[CheckedInput]

    def outputs(self) -> list[Tensor]:
        """The floating outputs at the values of the leaves."""
        with enable_grad():
            result = self.function(*self.args)
        outputs = [result] if isinstance(result, Tensor) else result
        if not isinstance(outputs, (tuple, list)) or not all(isinstance(y, Tensor) for y in outputs):
            raise TypeError(f"gradcheck: expected a function that returns Tensors, got {type(result).__name__}")
        outputs = [y for y in outputs if y.dtype.kind == "f"]
        if not outputs:
            raise TypeError("gradcheck: expected an output of float32 or float64, got none")
        return outputs

    def reset(self) -> None:
        """Put every leaf at its x."""
        for checked in self.inputs:
            checked.set(checked.x)

    def value(self) -> Host:
        """All outputs as one row."""
        return np.concatenate([to_host(y).astype(np.float64).ravel() for y in self.outputs()])

    def moved(self, direction: dict[int, Host], t: float) -> Host:
        """The value with input i at x + t · direction[i]."""
        for i, d in direction.items():
            x = self.inputs[i].x
            self.inputs[i].set(x + t * d.reshape(x.shape))
        y = self.value()
        for i in direction:
            self.inputs[i].set(self.inputs[i].x)
        return y

    def cotangents(self, outputs: Sequence[Tensor], row: Host) -> list[Tensor]:
        """A row as long as all outputs, as one cotangent for each output."""
        parts = np.split(row, np.cumsum([y.numel() for y in outputs])[:-1])
        return [Tensor(to_device(g.reshape(y.shape).astype(y.dtype), y.device)) for y, g in zip(outputs, parts)]

    def gradients(self, rows: Host) -> list[list[Host]]:
        """For each row of cotangents g: dL/dx of each checked input as a row, L = Σ g · output."""
        outputs = self.outputs()
        found = [self.vjp(outputs, self.cotangents(outputs, row), retain_graph=True) for row in rows]
        return [[to_host(dx).flatten() for dx in gradients] for gradients in found]

    def vjp(self, outputs: list[Tensor], cotangents: Sequence[Tensor], **options: bool) -> list[Tensor]:
        """dL/dx for each checked input; zeros if no gradient flows to it."""
        leaves = [checked.leaf for checked in self.inputs]
        reached = [(y, g) for y, g in zip(outputs, cotangents) if y.requires_grad]
        found = grad([y for y, _ in reached], leaves, [g for _, g in reached], allow_unused=True, **options)
        return [zeros_like(leaf) if dx is None else dx for leaf, dx in zip(leaves, found)]


def first_order(function: Callable[..., Any], inputs: Sequence[Any], module: Module | None) -> FunctionUnderTest:
    """The function itself, with float64 copies in place of its floating inputs."""
    args = [x.detach().clone() if isinstance(x, Tensor) else x for x in inputs]
    floating = [i for i, x in enumerate(args) if isinstance(x, Tensor) and x.dtype.kind == "f"]
    differentiable = [i for i in floating if inputs[i].requires_grad] or floating
    for i in floating:
        args[i] = args[i].double().requires_grad_(i in differentiable)
    checked = [CheckedInput(f"input {i}", args[i]) for i in differentiable]
    parameters = [] if module is None else module.named_parameters()
    checked += [CheckedInput(f"parameter {name}", p) for name, p in parameters if p.requires_grad]
    if not checked:
        given = ", ".join(type(x).__name__ for x in inputs) or "none"
        raise TypeError(f"gradcheck: expected at least one Tensor of float32 or float64 as input, got {given}")
    return FunctionUnderTest(function, args, checked)


def second_order(first: FunctionUnderTest, rng: Any) -> FunctionUnderTest:
    """The gradient, as a function of the inputs and of the cotangents of the outputs."""

    def gradient(*cotangents: Tensor) -> list[Tensor]:
        outputs = first.outputs()
        gs = [g.to(dtype=y.dtype) for y, g in zip(outputs, cotangents)]
        return first.vjp(outputs, gs, create_graph=True)

    first.reset()
    outputs = first.outputs()
    cotangents = [Tensor(to_device(random_nonzero(rng, y.shape), y.device), True) for y in outputs]
    checked = first.inputs + [CheckedInput(f"cotangent {i}", g) for i, g in enumerate(cotangents)]
    return FunctionUnderTest(gradient, cotangents, checked)


def random_nonzero(rng: Any, shape: tuple[int, ...]) -> Host:
    """Random numbers from ±[0.5, 1.5], none of them small."""
    return np.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape))


@contextmanager
def preserve_state(module: Module | None) -> Iterator[None]:
    """Parameters in float64 inside; afterwards they and minigrad's random numbers are restored, bit for bit."""
    parameters = [] if module is None else list(module.parameters())
    saved = [dict(vars(parameter)) for parameter in parameters]
    generator = backend.random.generator()
    state = generator.bit_generator.state
    try:
        for parameter in parameters:
            parameter.array = parameter.array.astype(np.float64)
            parameter._grad = None
        yield
    finally:
        for parameter, attributes in zip(parameters, saved):
            vars(parameter).clear()
            vars(parameter).update(attributes)
        backend.random.set_generator(generator)
        generator.bit_generator.state = state
