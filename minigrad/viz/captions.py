"""The caption of an op's frame: one sentence for each op, forward and backward, with the numbers of the recording.

A caption is a template. Its fields, `{rows}`, are entries of FIELDS: functions of the call. Backticks mark numbers and
names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..autograd.op import Op
from ..backend import unravel
from .formatting import SUBSCRIPTS, axis_list, formula_letters, listing, number, place, shape_text, terms
from .recorder import Recording, VJPCall
from .trace import Vertex

FORWARD = {
    "linear": "Each of the {rows} rows of {x} is multiplied by the transposed weight matrix {w}{plus_bias}. The result "
    "has {columns} numbers per row, {range}.",
    "matmul": "The matrix product of {operands} has the shape {shape}, with numbers {range}.",
    "relu": "relu keeps positive numbers and replaces all others by 0: {positive} of {size} numbers are kept, {zeros} "
    "become 0.",
    "softmax_cross_entropy array": "Softmax turns the scores of each sample into probabilities. The loss of a sample "
    "is −log of the probability of its true class: smallest for sample {smallest}, largest for sample {largest}.",
    "softmax_cross_entropy number": "Softmax turns the scores of each sample into probabilities. The loss is −log of "
    "the probability of the true class, {reduction} over the samples ({samples}): {value}.",
    "mse_loss": "The squared error of each number. {peak}",
    "mean number": "The mean of the {count} numbers of {x} is {value}.",
    "sum number": "The sum of the {count} numbers of {x} is {value}.",
    "number": "{op} of {operands} is {value}.",
    "array": "{op} of {operands} has the shape {shape}, with numbers {range}.",
}

BACKWARD = {
    "linear x": "Each number of {x} is used in all {columns} outputs of its row. The chain rule sums over them: the "
    "gradient of each output times the weight between the two. {peak}",
    "linear w": "The local derivative of an output with respect to a weight is the input that this weight multiplies. "
    "So by the chain rule its gradient is the gradient of the output times the input, summed over the {rows} rows of "
    "the batch. For {element}: {weight_sum}.",
    "linear b": "{x} has one number per output, and broadcasting adds it to all {rows} rows, one for each sample of "
    "the batch. A change of {element} changes this output of every sample. By the chain rule its gradient is the sum "
    "of the gradients of all samples, over {batch_axes}: {bias_sum}.",
    "matmul": "Each number of {x} is used in several outputs. The chain rule sums over them: the gradient of each "
    "output times the factor from {other}. {peak}",
    "relu": "Where relu keeps its input, its local derivative is 1 and the gradient passes unchanged. At the {zeros} "
    "of {size} positions where the output is 0, a small change of the input changes nothing: the local derivative is "
    "0, and so is the gradient. {peak}",
    "softmax_cross_entropy": "Softmax and cross-entropy together have a simple derivative: predicted probability minus "
    "target. The chain rule multiplies it by g. In sample `0` the true class is {label}: the gradient of its score is "
    "{label_gradient}. The gradients of the other scores are up to {other_gradient}. So gradient descent {effect}.",
    "cross_entropy x": "Softmax and cross-entropy together have a simple derivative: predicted probability minus "
    "target. The chain rule multiplies it by g. {peak}",
    "mse_loss": "The derivative of a square is twice the error, with its sign: the larger the error, the larger the "
    "gradient. {peak}",
    "mean": "A mean of {n} numbers has the local derivative {share} for each of them. So the gradient of each number "
    "of {x} is the gradient of the mean divided by {n}{each}.",
    "sum": "A sum has the local derivative 1 for each of its terms. So the gradient of each number of {x} is the "
    "gradient of the sum{each}.",
    "add": "A sum has the local derivative 1 for each of its terms, so the gradient of {x} is the gradient of {y}.",
    "mul": "The local derivative of a product is the other factor, so the gradient of {x} is the gradient of {y} times "
    "{other}. {peak}",
    "number": "The chain rule: the gradient of {y} is {g}; times the local derivative of {op}, it is the gradient of "
    "{x}, {result}.",
    "array": "The chain rule: the gradient of {y}, times the local derivative of {op}, is the gradient of {x}. {peak}",
}

# What other letters of a formula stand for.
SYMBOLS = {
    "softmax_cross_entropy": {"p": "softmax({x})", "p_label": "p of the true class", "N": "{samples}"},
    "cross_entropy": {"p": "softmax({x})"},
    "mean": {"n": "{n}"},
}


@dataclass
class Call:
    """One op of the recorded step: forward, or (with `vjp`) backward to one of its inputs."""

    recording: Recording
    vertex: Vertex
    vjp: VJPCall | None = None

    def __post_init__(self) -> None:
        assert self.vertex.node is not None  # nosec B101 # for mypy
        values, vertices = self.recording.values, self.recording.vertices
        self.op, self.kwargs = self.vertex.node.op, self.vertex.node.kwargs
        self.inputs = {position: values[i] for position, i in self.vertex.inputs}
        self.names = {position: vertices[i].name for position, i in self.vertex.inputs}
        self.numbers = {position: c for position, c in self.vertex.constants if isinstance(c, (int, float))}
        self.target = self.vjp.position if self.vjp else min(self.inputs)  # the input that the caption is about
        self.x, self.y = self.inputs[self.target], values[self.vertex.index]
        used, output = formula_letters(self.op.formula), self.op.formula.partition(" ")[0].rstrip("ᵢ")
        arguments = {p: argument_name(self.op, p) for p, _ in self.vertex.inputs + self.vertex.constants}
        self.letters = {p: a.upper() if a not in used and a.upper() in used else a for p, a in arguments.items()}
        self.output_letter = output if len(output) == 1 else "y"
        self.g: Any = self.vjp.g if self.vjp else None
        self.result = self.vjp.raw if self.vjp else self.y
        self.at = largest(self.result)

    def __getitem__(self, field: str) -> str:
        """A field of a template, as text."""
        value = FIELDS[field](self)
        return value if isinstance(value, str) else code(value)


def caption(call: Call) -> str:
    """The caption of a call: the most specific template for its op, with the numbers filled in."""
    kind = "number" if call.result.size == 1 and (call.g is None or call.g.size == 1) else "array"
    table, detail = (FORWARD, kind) if call.vjp is None else (BACKWARD, argument_name(call.op, call.target))
    template = next(table[key] for key in (f"{call.op.name} {detail}", call.op.name, kind) if key in table)
    return template.format_map(call).strip()


def argument_name(op: Op, position: int) -> str:
    """The name of an argument: `x`; `tensor₂` of an op with any number of them."""
    return f"tensor{position}".translate(SUBSCRIPTS) if op.variadic else op.array_names[position]


def meanings(call: Call) -> dict[str, str]:
    """The meaning of each letter in the formulas of an op: the name of a Tensor, a number, or an entry of SYMBOLS."""
    names = {call.letters[p]: name for p, name in call.names.items()}
    numbers = {call.letters[p]: number(c) for p, c in call.numbers.items()}
    options = {name: str(value) for name, value in call.kwargs.items() if isinstance(value, (int, float, str))}
    templates = SYMBOLS.get(call.op.name, {})
    symbols = {letter: template.format_map(call).replace("`", "") for letter, template in templates.items()}
    return {**names, **numbers, call.output_letter: call.vertex.name, **options, **symbols}


def code(value: Any) -> str:
    """A number or a name, marked."""
    return f"`{value if isinstance(value, str) else f'{value:,}' if isinstance(value, int) else number(value)}`"


def largest(array: Any) -> tuple[int, ...]:
    """The index of the number with the largest magnitude."""
    return unravel(int(abs(array).argmax()), array.shape) if array.size else (0,) * array.ndim


def at(index: tuple[int, ...]) -> str:
    """` at [3, 17]`, marked; nothing for the index of a single number."""
    return f" at {code(place(index))}" if index else ""


def equation(summands: Any, result: Any) -> str:
    """`0.1 + 0.2 = 0.3`, marked."""
    return code(f"{terms([float(v) for v in summands])} = {number(result)}")


def sample(losses: Any, position: int) -> str:
    """`2` (`1.994`), marked: the index of a sample, and its loss."""
    return f"{code(place(unravel(position, losses.shape)).strip('[]'))} ({code(losses.flat[position])})"


def peak(call: Call) -> str:
    """The number with the largest magnitude of a result that has several."""
    array, index = call.result, call.at
    return f"The largest in magnitude is {code(array[index])}{at(index)}." if array.ndim and array.size else ""


def rows(array: Any) -> Any:
    """(..., n) as (rows, n)."""
    return array.reshape(-1, array.shape[-1])


def class_gradients(call: Call) -> tuple[int, float, float]:
    """Of sample 0: the true class, the gradient of its score, and the largest gradient of another score."""
    dim = call.kwargs.get("dim", 1)
    scores, one_hot = (rows(array.swapaxes(dim, -1))[0] for array in (call.result, call.inputs[1]))
    others = [float(v) for v, is_label in zip(scores, one_hot) if not is_label]
    return int(one_hot.argmax()), float(scores[one_hot][0]), max(others, key=abs, default=0.0)


def operands(call: Call) -> str:
    """The inputs by name, with their values if the op maps numbers to a number."""
    names = {p: code(c) for p, c in call.numbers.items()}
    for p, name in call.names.items():
        alone = call.inputs[p].size == 1 == call.y.size
        names[p] = f"{code(name)} = {code(call.inputs[p].item())}" if alone else code(name)
    return listing([names[p] for p in sorted(names)])


FIELDS: dict[str, Callable[[Call], Any]] = {
    "op": lambda c: code(c.vertex.op_name),
    "x": lambda c: code(c.names[c.target]),
    "y": lambda c: code(c.vertex.name),
    "w": lambda c: code(c.names[1]),
    "plus_bias": lambda c: f", and {code(c.names[2])} is added" if 2 in c.names else "",
    "other": lambda c: code((c.names | c.numbers)[1 - c.target]),
    "operands": operands,
    "value": lambda c: c.y.item(),
    "g": lambda c: c.g.item(),
    "result": lambda c: c.result.item(),
    "size": lambda c: c.y.size,
    "count": lambda c: c.x.size,
    "n": lambda c: c.x.size // max(c.y.size, 1),
    "share": lambda c: code(f"1/{c.x.size // max(c.y.size, 1):,}"),
    "each": lambda c: f": {code(c.result.flat[0])}" if c.y.size == 1 and c.result.size else "",
    "shape": lambda c: code(shape_text(c.y.shape)),
    "range": lambda c: f"from {code(c.y.min())} to {code(c.y.max())}" if c.y.size else "of which there are none",
    "peak": peak,
    "rows": lambda c: c.y.size // c.y.shape[-1],
    "columns": lambda c: c.y.shape[-1],
    "positive": lambda c: int((c.y > 0).sum()),
    "zeros": lambda c: int((c.y <= 0).sum()),
    "element": lambda c: code(c.names[c.target] + place(c.at)),
    "weight_sum": lambda c: equation(rows(c.g)[:, c.at[0]] * rows(c.inputs[0])[:, c.at[1]], c.result[c.at]),
    "bias_sum": lambda c: equation(rows(c.g)[:, c.at[0]], c.result[c.at]),
    "batch_axes": lambda c: code(axis_list([*range(c.g.ndim - 1)] or [0])),
    "samples": lambda c: c.x.size // c.x.shape[c.kwargs.get("dim", 1)],
    "reduction": lambda c: {"mean": "averaged", "sum": "summed"}.get(c.kwargs.get("reduction", "mean"), "taken"),
    "smallest": lambda c: sample(c.y, int(c.y.argmin())),
    "largest": lambda c: sample(c.y, int(c.y.argmax())),
    "label": lambda c: class_gradients(c)[0],
    "label_gradient": lambda c: class_gradients(c)[1],
    "other_gradient": lambda c: class_gradients(c)[2],
    "effect": lambda c: (
        "raises the score of the true class and lowers the others"
        if class_gradients(c)[1] <= 0
        else "lowers the score of the true class and raises the others"
    ),
}
