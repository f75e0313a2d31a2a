"""A training step as the array operations that it comes to, written as a function and run without the engine.

Every op asks the library that owns its arrays. In the first step that is a library which writes down what it is asked,
and with the same shapes all later steps ask the same. What is left is the program that one would write by hand in
NumPy: no Tensors, no graph, no walk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .. import backend
from ..autograd.grad_mode import current_monitor, is_grad_enabled
from ..autograd.tensor import Tensor, accumulate_grad, expect_tensor, note_value_range, value_range, wrap
from .program import Program
from .tracer import writer

if TYPE_CHECKING:
    from ..nn.module import Module

Range: TypeAlias = tuple[int, int]  # the least and the greatest label


class Step(NamedTuple):
    """A step that was written down."""

    source: str
    function: Callable[..., Any]  # of the arrays of inputs and parameters; gives the loss, then the gradients
    parameters: list[Any]  # their arrays, kept so that no other array has their identity
    ranges: dict[int, Range]  # of the labels, by the position of the input
    receivers: list[int]  # where among inputs and parameters those are that get a gradient


class replay:
    """A function that does `loss = function(*inputs); loss.backward()`, and returns the loss without its graph.

    `model`     the Module whose parameters get the gradients, added to their `.grad` as `backward` does; so do inputs
                that require one
    `function`  takes Tensors and returns the loss, a Tensor of one element, made of them and of the parameters

    The first call with inputs of some shapes is written down, as a function in NumPy that `source` shows; later ones
    run it: the same array operations in the same order, and so the same bits. There is one function for all that agree
    in shapes, dtypes, devices, order in memory, the training mode of each part, and what requires a gradient. They are
    written anew where a parameter has got another array, and where labels exceed the range of those so far.
    Python numbers and branches stay as they were in the call that was written down, and the model must keep its parts.
    Raises RuntimeError for a step that looks at an element, as `item()` and labels to be ignored do, or that uses
    arrays other than inputs and parameters, as the random ones of Dropout. Under `detect_anomaly` nothing is repeated.

        step = mg.replay(model, lambda images, labels: F.cross_entropy(model(images), labels))
        for images, labels in batches:
            loss = step(images, labels)
            optimizer.step()
            optimizer.zero_grad()
    """

    def __init__(self, model: Module, function: Callable[..., Tensor]) -> None:
        if not callable(getattr(model, "parameters", None)):
            raise TypeError(f"replay: expected a Module as model, got {type(model).__name__}")
        self.function = function
        self.parameters, self.modules = list(model.parameters()), list(model.modules())
        self.steps: dict[Any, Step] = {}  # by all that decides which calls a step makes, but for the labels

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The loss of these inputs; the parameters have their gradients. Raises TypeError for what is no Tensor."""
        arrays: list[Any] = []
        kinds: list[Any] = []
        ranges: dict[int, Range] = {}
        for position, x in enumerate(inputs):
            expect_tensor("replay", "input", x)
            if x.grad_fn is not None:
                raise RuntimeError("replay: an input was made by an op from one that requires a gradient; detach() it")
            array = x.array
            arrays.append(array)
            kinds += (array.shape, array.strides, array.dtype.num, type(array), x._requires_grad)
            if array.dtype.kind in "iu" and array.size:
                ranges[position] = value_range(x) or (int(array.min()), int(array.max()))
        for p in self.parameters:
            arrays.append(p.array)
            kinds += (id(p.array), p._requires_grad)
        for module in self.modules:
            kinds.append(module.training)
        if current_monitor() or not is_grad_enabled():
            loss = self.function(*inputs)
            loss.backward()
            return loss.detach()
        step = self.steps.get(tuple(kinds))
        if step is not None and all(map(within, ranges.values(), step.ranges.values())):
            loss, *gradients = backend.ignore_fp_warnings(step.function, *arrays)
        else:
            if step is not None:
                ranges = {position: union(ranges[position], known) for position, known in step.ranges.items()}
            try:
                step, loss, gradients = self._write(inputs, arrays, ranges)
            except RuntimeError:
                self.function(*inputs)  # a mistake in the inputs, as a label that is none, says more
                raise
            now = [*map(id, step.parameters)]
            self.steps = {key: old for key, old in self.steps.items() if [*map(id, old.parameters)] == now}
            self.steps[tuple(kinds)] = step
        tensors = (*inputs, *self.parameters)
        accumulate_grad([(tensors[position], gradient) for position, gradient in zip(step.receivers, gradients)])
        return wrap(loss)

    @property
    def source(self) -> str:
        """The steps written so far, as functions in NumPy of the inputs x0, x1, ... and the parameters p0, p1, ..."""
        return "\n".join([step.source for step in self.steps.values()])

    def _write(
        self, inputs: Sequence[Tensor], arrays: list[Any], ranges: dict[int, Range]
    ) -> tuple[Step, Any, list[Any]]:
        """Run the step once, on arrays that write down what is done with them: the step, the loss, the gradients."""
        if writer.program is not None:
            raise RuntimeError("replay: a step that is replayed cannot replay another; call its function instead")
        if not arrays:
            raise RuntimeError("replay: there is neither an input nor a parameter that could get a gradient")
        arguments = [f"x{i}" for i in range(len(inputs))] + [f"p{i}" for i in range(len(self.parameters))]
        program = Program(backend.library_of([*arrays[len(inputs) :], *arrays][0]), arguments)
        leaves = [wrap(program.enter(array)) for array in arrays]
        for leaf, x in zip(leaves, inputs):
            leaf._requires_grad = x._requires_grad
        for position, ends in ranges.items():
            note_value_range(leaves[position], ends)
        kept = [(p, p.array, p._grad) for p in self.parameters]
        writer.program = program
        try:
            for p, leaf in zip(self.parameters, leaves[len(inputs) :]):
                p.array, p._grad = leaf.array, None
            loss = self.function(*leaves[: len(inputs)])
            expect_tensor("replay", "loss", loss)
            loss.backward()
            tensors = (*leaves[: len(inputs)], *self.parameters)
            found = [(position, x._grad.array) for position, x in enumerate(tensors) if x._grad is not None]
        finally:
            writer.program = None
            for p, array, gradient in kept:
                p.array, p._grad = array, gradient
        outputs = [program.give(array) for array in (loss.array, *[gradient for _, gradient in found])]
        source = program.source(outputs)
        step = Step(
            source, program.compiled(source), arrays[len(inputs) :], ranges, [position for position, _ in found]
        )
        first, *gradients = [output.array for output in outputs]
        return step, first, gradients


def within(inner: Range, outer: Range) -> bool:
    """Whether a range lies in another."""
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def union(first: Range, second: Range) -> Range:
    """The range of both together."""
    return min(first[0], second[0]), max(first[1], second[1])
