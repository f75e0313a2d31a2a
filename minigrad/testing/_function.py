"""The function under check: from float64 arrays on the host to float64 arrays on the host, whatever it computes on."""

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


class Slot:
    """An input that is checked, or a parameter: the leaf that the function reads, and the point x that it starts at."""

    def __init__(self, name: str, leaf: Tensor) -> None:
        self.name, self.leaf = name, leaf
        self.x = host(leaf).astype(np.float64)


def host(tensor: Tensor) -> Host:
    """The elements on the CPU."""
    return backend.library_of(tensor.array).to_host(tensor.array)


def to_device(x: Host, device: backend.device) -> Any:
    """A copy of x as an array of a device."""
    return backend.library(device).from_host(np.array(x))


class Subject(NamedTuple):
    """A function, the arguments it is called with, and the slots among them and among the parameters of its Module."""

    function: Callable[..., Any]
    args: list[Any]
    slots: list[Slot]

    def __call__(self, xs: Sequence[Host]) -> list[Tensor]:
        """The outputs at xs, one array for each slot."""
        for slot, x in zip(self.slots, xs):
            slot.leaf.array = to_device(x, slot.leaf.device)
        return self.outputs()

    def outputs(self) -> list[Tensor]:
        """The outputs that are floating, at what the leaves hold."""
        with enable_grad():
            result = self.function(*self.args)
        outputs = [result] if isinstance(result, Tensor) else result
        if not isinstance(outputs, (tuple, list)) or not all(isinstance(y, Tensor) for y in outputs):
            raise TypeError(f"gradcheck: expected a function that returns Tensors, got {type(result).__name__}")
        outputs = [y for y in outputs if y.dtype.kind == "f"]
        if not outputs:
            raise TypeError("gradcheck: expected an output of float32 or float64, got none")
        return outputs

    def values(self, xs: Sequence[Host]) -> Host:
        """All outputs as one row."""
        return np.concatenate([host(y).astype(np.float64).ravel() for y in self(xs)])

    def gradients(self, xs: Sequence[Host], cotangents: Host) -> list[list[Host]]:
        """For each cotangent, a row as long as all outputs: dL/dx of each slot as a row, L = Σ cotangent · output."""
        outputs = self(xs)
        ends = np.cumsum([y.numel() for y in outputs])[:-1]
        found = []
        for row in cotangents:
            parts = zip(outputs, np.split(row, ends))
            gs = [Tensor(to_device(g.reshape(y.shape).astype(y.dtype), y.device)) for y, g in parts]
            found.append([host(dx).flatten() for dx in self.pull(outputs, gs, retain_graph=True)])
        return found

    def pull(self, outputs: list[Tensor], cotangents: Sequence[Tensor], **options: bool) -> list[Tensor]:
        """dL/dx for the leaf of each slot; zeros where nothing flows."""
        leaves = [slot.leaf for slot in self.slots]
        reached = [(y, g) for y, g in zip(outputs, cotangents) if y.requires_grad]
        found = grad([y for y, _ in reached], leaves, [g for _, g in reached], allow_unused=True, **options)
        return [zeros_like(leaf) if dx is None else dx for leaf, dx in zip(leaves, found)]


def first_order(function: Callable[..., Any], inputs: Sequence[Any], module: Module | None) -> Subject:
    """The function as it is, with float64 copies in the place of its floating inputs."""
    args = [x.detach().clone() if isinstance(x, Tensor) else x for x in inputs]
    floating = [i for i, x in enumerate(args) if isinstance(x, Tensor) and x.dtype.kind == "f"]
    checked = [i for i in floating if inputs[i].requires_grad] or floating
    for i in floating:
        args[i] = args[i].double().requires_grad_(i in checked)
    slots = [Slot(f"input {i}", args[i]) for i in checked]
    parameters = [] if module is None else module.named_parameters()
    slots += [Slot(f"parameter {name}", p) for name, p in parameters if p.requires_grad]
    if not slots:
        given = ", ".join(type(x).__name__ for x in inputs) or "none"
        raise TypeError(f"gradcheck: expected at least one Tensor of float32 or float64 as input, got {given}")
    return Subject(function, args, slots)


def second_order(first: Subject, rng: Any) -> Subject:
    """The gradient, as a function of the inputs and of the cotangents of the outputs, one more slot for each."""

    def gradient(*cotangents: Tensor) -> list[Tensor]:
        outputs = first.outputs()
        gs = [g.to(dtype=y.dtype) for y, g in zip(outputs, cotangents)]
        return first.pull(outputs, gs, create_graph=True)

    outputs = first([slot.x for slot in first.slots])
    cotangents = [Tensor(to_device(draw(rng, y.shape), y.device), True) for y in outputs]
    return Subject(gradient, cotangents, first.slots + [Slot(f"cotangent {i}", g) for i, g in enumerate(cotangents)])


def draw(rng: Any, shape: tuple[int, ...]) -> Host:
    """Random numbers from ±[0.5, 1.5]: none is small."""
    return np.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape))


@contextmanager
def untouched(module: Module | None) -> Iterator[None]:
    """Parameters in float64 inside; afterwards they, and minigrad's random numbers, are as they were, bit for bit."""
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
