"""`mg.replay`: trace a training step once, compile it to a NumPy function, run that from then on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .. import backend
from ..autograd.grad_mode import current_monitor, is_grad_enabled
from ..autograd.tensor import Tensor, accumulate_grad, differentiate, expect_tensor, note_value_range, wrap
from ..autograd.version_counter import bump_version
from ..nn.module import Module
from .guards import Guards, Range, label_range, merge
from .program import Program, ShapeChanged, compile_function, memory
from .tracer import KEPT, VALUE, TracedArray, active_trace, register, reject, thread_views, tracing

MAX_STEPS = 64
PATIENCE = 8  # calls in a row that are traced; after them only every 2ⁿ-th is


class Step(NamedTuple):
    """A specialization: a traced step, compiled, and the guards that say for which inputs."""

    source: str
    function: Callable[..., Any]  # arrays of inputs and parameters -> the loss and the gradients
    guards: Guards
    kinds: list[Any]  # shapes and dtypes of the inputs
    label_ranges: dict[int, Range]  # by the position of the input
    grad_positions: list[tuple[int, int]]  # (of an input or parameter, of its gradient), as backward accumulates them
    mutated: list[int]  # positions of the arrays that the step modifies in place
    aliases: list[int]  # which arrays share memory


class replay:
    """A training step, `loss = function(*inputs); loss.backward()`, that is traced once and then runs without autograd.

    The first call traces the function and compiles it to a NumPy function, which `source` shows. Later calls run that:
    the same array operations in the same order, so losses and gradients are bit-identical to eager execution.

    A step is specialized for the shapes, dtypes, devices and strides of inputs and parameters, for what requires a
    gradient, and for all that the function reads, such as Python numbers, settings, and the parts of the model. If one
    of these changes, the step is traced again; if they change in every call, it runs eagerly. A step that depends on
    what cannot be compared raises an error that names it. The function is not called in a replay: what it prints, or
    appends to a list, is not repeated.

    Args:
        model: the Module whose parameters get the gradients, added to their `.grad` as `backward` does. Inputs that
            require a gradient get theirs.
        function: takes Tensors and returns the loss, a Tensor of one element computed from them and the parameters.

    Returns:
        A callable. It takes the inputs and returns the loss, without a graph.

    Raises:
        TypeError: the model is not a Module, an input or the loss is not a Tensor.
        RuntimeError: the step reads the value of an element, as `item()` and labels equal to `ignore_index` do; uses
            arrays other than inputs and parameters, as Dropout in training; or reads what cannot be compared.

    Example:
        >>> import minigrad as mg
        >>> from minigrad.nn import functional as F
        >>> model = mg.nn.Linear(2, 1)
        >>> optimizer = mg.optim.SGD(model.parameters(), lr=0.05)
        >>> step = mg.replay(model, lambda x, y: F.mse_loss(model(x), y))
        >>> x, y = mg.tensor([[1.0, 2.0], [3.0, 4.0]]), mg.tensor([[3.0], [7.0]])
        >>> for _ in range(500):
        ...     loss = step(x, y)
        ...     optimizer.step()
        ...     optimizer.zero_grad()
        >>> loss.item() < 1e-3
        True
        >>> print(step.source)
        # c0: (2, 1) float32
        def step(x0, x1, p0, p1):
            v0 = p0.T
            v1 = x0 @ v0; del v0
            v2 = v1 + p1; del v1
            ...
    """

    def __init__(self, model: Module, function: Callable[..., Tensor]) -> None:
        if not callable(getattr(model, "parameters", None)):
            raise TypeError(f"replay: expected a Module as model, got {type(model).__name__}")
        self.model, self.function = model, function
        self.steps: list[Step] = []  # the latest used first
        self.misses = 0  # calls in a row without a replay

    def __reduce__(self) -> Any:
        return type(self), (self.model, self.function)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The loss of these inputs, without its graph; gradients are added to `.grad`."""
        if not current_monitor() and is_grad_enabled():
            for step in self.steps:
                arrays = step.guards.accepts(inputs)
                if arrays is not None and (not step.mutated or aliases(arrays) == step.aliases):
                    for position in step.mutated:
                        bump_version(arrays[position])
                    try:
                        loss, *gradients = backend.ignore_fp_warnings(step.function, *arrays)
                    except ShapeChanged:
                        continue
                    except Exception:
                        if step.mutated:
                            raise
                        return self._eager(inputs)  # it fails, too, and names the op
                    self.misses = 0
                    if step is not self.steps[0]:
                        self._keep(step)
                    tensors = (*inputs, *step.guards.parameters)
                    accumulate_grad([(tensors[i], gradients[k]) for i, k in step.grad_positions])
                    return wrap(loss)
        if active_trace() is not None:
            reject("the step calls another replayed step; call the function of that instead")
        for x in inputs:
            self._check_input(x)
        if current_monitor() or not is_grad_enabled():
            return self._eager(inputs)
        misses = self.misses + 1
        is_traced = misses <= PATIENCE or misses & (misses - 1) == 0
        loss = self._trace(inputs) if is_traced else self._eager(inputs)
        self.misses = misses
        return loss

    @property
    def source(self) -> str:
        """The compiled steps, as NumPy functions of the inputs x0, x1, ... and the parameters p0, p1, ..."""
        return "\n".join([step.source for step in self.steps])

    def _check_input(self, x: Any) -> None:
        expect_tensor("replay", "input", x)
        if x.grad_fn is not None:
            raise RuntimeError("replay: expected inputs without a graph, got one that an op computed; use x.detach()")
        if type(x.array) is TracedArray:
            reject(KEPT)
        if any(x is p for p in self.model.parameters()):
            raise RuntimeError("replay: expected inputs, got a parameter of the model; use it in the function")

    def _eager(self, inputs: Sequence[Tensor]) -> Tensor:
        loss = self.function(*inputs)
        expect_tensor("replay", "loss", loss)
        loss.backward()
        return loss.detach()

    def _trace(self, inputs: Sequence[Tensor]) -> Tensor:
        """Run the step eagerly on tracers, and keep what it compiles to."""
        kinds = [(x.shape, x.dtype) for x in inputs]
        label_ranges = {i: label_range(x) for i, x in enumerate(inputs) if x.dtype.kind in "iu" and x.numel()}
        for step in self.steps:
            if step.kinds == kinds:
                label_ranges = {i: merge(ends, step.label_ranges[i]) for i, ends in label_ranges.items()}
        guards = Guards(self.function, self.model, inputs, label_ranges)
        tensors = (*inputs, *guards.parameters)
        arrays = [x.array for x in tensors]
        if not arrays:
            raise RuntimeError("replay: expected an input or a parameter that could get a gradient, got neither")
        if len({*map(type, arrays)}) > 1:
            raise RuntimeError("replay: expected inputs and parameters on one device; use x.to(device)")
        names = [f"x{i}" for i in range(len(inputs))] + [f"p{i}" for i in range(len(guards.parameters))]
        program = Program(backend.library_of(arrays[0]), names, arrays)
        try:
            outputs, grad_positions = self._record(program, inputs, guards.parameters, label_ranges)
        except Exception:
            if program.refusal is None:
                raise
            program.restore()
            raise program.refusal from None
        source = program.source(outputs)
        mutated = program.mutated_leaves()
        if is_grad_enabled() and guards.accepts(inputs) is not None:  # else the step changes what it depends on
            function = compile_function(source, program.constants)
            self._keep(Step(source, function, guards, kinds, label_ranges, grad_positions, mutated, aliases(arrays)))
        loss, *gradients = [output.array for output in outputs]
        vars(program).clear()  # a Tensor that the step kept does not keep all others
        accumulate_grad([(tensors[i], gradients[k]) for i, k in grad_positions])
        return wrap(loss)

    def _record(
        self, program: Program, inputs: Sequence[Tensor], parameters: list[Tensor], label_ranges: dict[int, Range]
    ) -> tuple[list[TracedArray], list[tuple[int, int]]]:
        """Run the step on tracers: the loss and the gradients, and whose gradients these are."""
        leaves = {id(x): leaf_of(x, traced) for x, traced in zip(inputs, program.leaves)}
        for position, ends in label_ranges.items():
            note_value_range(leaves[id(inputs[position])], ends)
        tensors = (*[leaves[id(x)] for x in inputs], *parameters)
        position_of = {id(x): position for position, x in reversed([*enumerate(tensors)])}
        program.arguments = {id(x): traced for x, traced in zip(tensors, program.leaves)}
        register()
        with thread_views(), tracing(program):
            loss = self.function(*tensors[: len(inputs)])
            expect_tensor("replay", "loss", loss)
            found = differentiate([loss], [None], set(), None, False)
            if program.refusal is not None:  # the step has caught it
                raise program.refusal
            if program.reads_value:
                reject(VALUE)
            if any(id(x) not in position_of for x, _ in found):
                reject("the step calls retain_grad; use mg.grad")
            if any(leaf._requires_grad != x._requires_grad for leaf, x in zip(tensors, inputs)):
                reject("the step changes requires_grad of an input; do that outside the step")
            if program.mutated_leaves() and any(call.guarded for call in program.calls):
                reject("the step modifies an input or parameter in place and uses a mask; do one of them outside")
            ranked = sorted(range(len(found)), key=lambda i: position_of[id(found[i][0])])
            outputs = [loss.array, *[found[i][1] for i in ranked]]
            grad_positions = [(position_of[id(x)], ranked.index(i)) for i, (x, _) in enumerate(found)]
            return [program.finalize_output(array) for array in outputs], grad_positions

    def _keep(self, step: Step) -> None:
        """Put a step first, and drop the one that was used least recently."""
        self.steps = [step, *[known for known in self.steps if known is not step]][:MAX_STEPS]


def leaf_of(x: Tensor, traced: TracedArray) -> Tensor:
    """A Tensor that takes the place of an input in a trace."""
    leaf = object.__new__(type(x))
    leaf.array, leaf._requires_grad = traced, x._requires_grad
    return leaf


def aliases(arrays: Sequence[Any]) -> list[int]:
    """For each array the position of the first that shares its memory."""
    owners = [*map(memory, arrays)]
    return [*map(owners.index, owners)]
