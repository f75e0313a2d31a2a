"""torch's own tables of test cases, run through minigrad: the values, dtypes, shapes and gradients must be torch's.

The tables are in `torch.testing._internal`: `op_db`, `module_db`, `optim_db` and `loss_reference_fns`. A *door* is one
way to call an op: a function of `minigrad` or `nn.functional`, a method, an operator, an in-place form; each also with
every argument by keyword. torch's tensors of a case become Tensors that share their memory, layout included.

A case is one call. It has the same result in both, or minigrad raises an error and the case is in LEFT_OUT.
"""

from __future__ import annotations

import inspect
import os
import random
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import minigrad as mg

torch.set_num_threads(1)
warnings.filterwarnings("ignore", module="torch")

DTYPES = (
    *(torch.float32, torch.float64, torch.int64, torch.bool),
    *(torch.uint8, torch.int8, torch.int16, torch.int32),
)
THOROUGH = os.environ.get("MINIGRAD_PROFILE") == "thorough"
SAMPLES = None if THOROUGH else 3  # of each dtype of an entry; None: all, and the reference inputs
ERRORS = (TypeError, ValueError, IndexError, RuntimeError, NotImplementedError, OverflowError, ZeroDivisionError)
TOLERANCES = {"float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)}  # (rtol, atol) of torch.testing.assert_close


@dataclass
class Call:
    """One call of a table, in the arguments of torch."""

    name: str  # of the door: "mg.add", "Tensor.add_", "operator.add"
    function: Callable[..., Any]  # torch's
    ours: Callable[..., Any]  # minigrad's
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    in_place: bool = False
    random: bool = False  # only shape and dtype are compared

    @property
    def op(self) -> str:
        """The name of the op: "add" of "mg.add by keyword"."""
        return self.name.split()[0].rpartition(".")[2]

    def __str__(self) -> str:
        args = [*map(shown, self.args), *(f"{name}={shown(value)}" for name, value in self.kwargs.items())]
        return f"{self.name}({', '.join(args)})"


def shown(value: Any) -> str:
    """An argument as text, short."""
    if isinstance(value, torch.Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"{value.item()}:{dtype}" if value.ndim == 0 and value.numel() else f"{dtype}{tuple(value.shape)}"
    if isinstance(value, (list, tuple)) and len(value) <= 8:
        return f"{type(value).__name__}({', '.join(map(shown, value))})"
    if isinstance(value, dict):
        return f"dict({', '.join(f'{name}={shown(item)}' for name, item in value.items())})"
    return repr(value)[:60]


# What is left out by design
@dataclass(frozen=True)
class LeftOut:
    """A kind of call that minigrad does not have, why, and what its error says."""

    reason: str
    matches: Callable[[Call], bool]
    error: str  # a regular expression


def values_of(call: Call) -> Iterator[Any]:
    """All arguments of a call and the elements of its lists and tuples."""
    todo = [*call.args, *call.kwargs.values()]
    while todo:
        value = todo.pop()
        yield value
        if isinstance(value, (list, tuple)):
            todo += value


def dtypes_of(call: Call) -> set[torch.dtype]:
    """The dtypes that a call mentions, by Tensors or by name."""
    return {
        v if isinstance(v, torch.dtype) else v.dtype
        for v in values_of(call)
        if hasattr(v, "dtype") or isinstance(v, torch.dtype)
    }


def has_keyword(*names: str) -> Callable[[Call], bool]:
    return lambda call: bool(call.kwargs.keys() & {*names})


LEFT_OUT: list[LeftOut] = [
    LeftOut(
        "half precision, complex, uint16 and more: the dtypes are bool, uint8, int8 to int64, float32 and float64",
        lambda call: (
            any(dtype not in DTYPES for dtype in dtypes_of(call))
            or any(isinstance(v, complex) for v in values_of(call))
        ),
        "dtype|complex",
    ),
    LeftOut("memory_format: minigrad chooses the layout", has_keyword("memory_format"), "memory_format"),
    LeftOut(
        "layout and pin_memory: all Tensors are dense, in ordinary memory",
        has_keyword("layout", "pin_memory"),
        "layout|pin_memory",
    ),
    LeftOut(
        "Python numbers as all operands: use Python's operators",
        lambda call: not any(isinstance(v, torch.Tensor) for v in values_of(call)),
        "expected a Tensor, got",
    ),
    LeftOut(
        "a condition of uint8, which torch warns about: use x != 0",
        lambda call: call.op == "where" and torch.uint8 in dtypes_of(call),
        "expected a condition of dtype bool",
    ),
    LeftOut(
        "torch's legacy form of cat: an empty vector (0,) beside Tensors of more axes",
        lambda call: call.op == "cat" and (0,) in {tuple(v.shape) for v in values_of(call) if hasattr(v, "shape")},
        "dimension",
    ),
    LeftOut(
        "a negative alpha with an unsigned integer",
        lambda call: call.kwargs.get("alpha", 0) < 0 and torch.uint8 in dtypes_of(call),
        "out of bounds",
    ),
]


@dataclass(frozen=True)
class Extended:
    """A kind of call that torch refuses and minigrad by design does not, and why."""

    reason: str
    matches: Callable[[Call], bool]


EXTENDED: list[Extended] = [
    Extended(
        "a Python number may be either operand of a comparison, maximum and minimum",
        lambda call: (
            call.op in ("eq", "ne", "lt", "le", "gt", "ge", "maximum", "minimum")
            and {type(v) for v in call.args} == {int, torch.Tensor}
        ),
    ),
    Extended(
        "the mean of integers is float32, as those of the other functions to the real numbers",
        lambda call: call.op == "mean" and {torch.int64} == dtypes_of(call),
    ),
    Extended(
        "one option of an optimizer may be a Tensor of one element where another is a number",
        lambda call: len({type(beta) for beta in call.kwargs.get("betas", ())}) == 2,
    ),
]


# Arguments
class Translator:
    """Translates the arguments of torch into minigrad's; a Tensor that is given twice stays one Tensor."""

    def __init__(self, copy: bool) -> None:
        self.copy = copy
        self.pairs: list[tuple[torch.Tensor, mg.Tensor]] = []
        self._seen: dict[int, tuple[torch.Tensor, mg.Tensor]] = {}

    def both(self, value: Any) -> tuple[Any, Any]:
        """A leaf or a copy of an argument for torch, and the same for minigrad."""
        if isinstance(value, torch.Tensor):
            if id(value) not in self._seen:
                self._seen[id(value)] = self.tensor(value)
                self.pairs.append(self._seen[id(value)])
            return self._seen[id(value)]
        if isinstance(value, torch.Size):
            return value, tuple(value)
        if isinstance(value, (list, tuple)):
            pairs = [self.both(item) for item in value]
            make = type(value) if type(value) in (list, tuple) else tuple
            return make(a for a, _ in pairs), make(b for _, b in pairs)
        if isinstance(value, dict):
            pairs = {name: self.both(item) for name, item in value.items()}
            return {name: a for name, (a, _) in pairs.items()}, {name: b for name, (_, b) in pairs.items()}
        if isinstance(value, torch.dtype):
            return value, str(value).removeprefix("torch.")
        if isinstance(value, torch.device):
            return value, str(value)
        return value, value

    def tensor(self, value: torch.Tensor) -> tuple[torch.Tensor, mg.Tensor]:
        theirs = value.detach()
        if self.copy:
            theirs = theirs.clone()
        elif value.requires_grad:
            theirs.requires_grad_()
        if value.dtype in (torch.bfloat16, torch.complex32):  # NumPy has no such dtype
            mg.tensor([0.0], dtype=str(value.dtype).removeprefix("torch."))
        array = theirs.detach().resolve_conj().resolve_neg().numpy()
        return theirs, mg.Tensor(array.copy(order="K") if self.copy else array, theirs.requires_grad)


# Comparison
def difference(theirs: Any, ours: Any, random: bool = False) -> str:
    """How two results differ; empty if they are the same."""
    if isinstance(theirs, torch.Tensor):
        if not isinstance(ours, mg.Tensor):
            return f"expected a Tensor, got {type(ours).__name__}"
        if str(theirs.dtype) != f"torch.{ours.dtype}":
            return f"dtype {ours.dtype}, in torch {str(theirs.dtype).removeprefix('torch.')}"
        if tuple(theirs.shape) != ours.shape:
            return f"shape {ours.shape}, in torch {tuple(theirs.shape)}"
        if theirs.requires_grad != ours.requires_grad:
            return f"requires_grad {ours.requires_grad}, in torch {theirs.requires_grad}"
        return "" if random else value_difference(theirs.detach().numpy(), ours.array)
    if isinstance(theirs, (list, tuple)) and not isinstance(theirs, torch.Size):
        if not isinstance(ours, list if isinstance(theirs, list) else tuple) or len(ours) != len(theirs):
            return f"expected {len(theirs)} results, got {ours!r:.60}"
        return next(filter(None, (difference(a, b, random) for a, b in zip(theirs, ours))), "")
    same = type(theirs) is type(ours) and (theirs == ours or (theirs != theirs and ours != ours))
    return "" if same else f"{ours!r:.60}, in torch {theirs!r:.60}"


def value_difference(theirs: np.ndarray, ours: np.ndarray) -> str:
    """How the elements of two arrays differ; empty if by no more than torch's tolerance."""
    if theirs.dtype.kind != "f":
        wrong = theirs != ours
    else:
        rtol, atol = TOLERANCES[theirs.dtype.name]
        with np.errstate(all="ignore"):
            wrong = ~(
                (theirs == ours)
                | (np.abs(theirs - ours) <= atol + rtol * np.abs(theirs))
                | (np.isnan(theirs) & np.isnan(ours))
            )
    if not wrong.any():
        return ""
    at = np.unravel_index(int(np.argmax(wrong)), theirs.shape)
    where = f"at {[*map(int, at)]}; {int(wrong.sum())} of {theirs.size} elements differ"
    return f"value {ours[at]!r}, in torch {theirs[at]!r} {where}"


def leaves_with_grad(result: Any, kind: type) -> list[Any]:
    """The differentiable Tensors among the results."""
    results = result if isinstance(result, (list, tuple)) else [result]
    return [y for y in results if isinstance(y, kind) and y.requires_grad]  # type: ignore[attr-defined]


def cotangent(y: torch.Tensor) -> torch.Tensor:
    """A fixed dL/dy with both signs, without symmetry."""
    return (torch.arange(y.numel(), dtype=torch.float64).mul(0.7).cos() + 0.25).to(y.dtype).reshape(y.shape)


def gradient_difference(theirs: Any, ours: Any, pairs: list[tuple[torch.Tensor, mg.Tensor]]) -> str:
    """How the gradients of two results differ; empty if they are the same."""
    outputs, our_outputs = leaves_with_grad(theirs, torch.Tensor), leaves_with_grad(ours, mg.Tensor)
    inputs = [pair for pair in pairs if pair[0].requires_grad]
    if not outputs or not inputs:
        return ""
    cotangents = [cotangent(y) for y in outputs]
    try:
        expected = torch.autograd.grad(outputs, [x for x, _ in inputs], cotangents, allow_unused=True)
    except RuntimeError:  # torch's clamp fails here if its bounds have more axes than their maximum
        return ""
    found = mg.grad(our_outputs, [x for _, x in inputs], [mg.Tensor(g.numpy()) for g in cotangents], allow_unused=True)
    for i, (a, b) in enumerate(zip(expected, found)):
        if (a is None) != (b is None):
            return f"gradient of input {i}: {b!r:.40}, in torch {a!r:.40}"
        if a is not None and (wrong := difference(a, b)):
            return f"gradient of input {i}: {wrong}"
    return ""


# Running
@dataclass
class Outcome:
    """What a set of calls gave."""

    same: int = 0
    refused: int = 0  # torch raises an error, and so does minigrad
    left_out: Counter[str] = field(default_factory=Counter)  # by the reason
    extended: Counter[str] = field(default_factory=Counter)  # torch raises an error, minigrad by design does not
    different: list[str] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        self.same += other.same
        self.refused += other.refused
        self.left_out += other.left_out
        self.extended += other.extended
        self.different += other.different

    def add_error(self, call: Call, error: Exception, torch_error: Exception | None) -> None:
        """minigrad raised an error, and torch if `torch_error` is not None."""
        text = str(error)
        reasons = (rule.reason for rule in LEFT_OUT if rule.matches(call) and re.search(rule.error, text))
        if torch_error is not None:
            self.refused += 1
        elif reason := next(reasons, ""):
            self.left_out[reason] += 1
        else:
            self.different.append(f"{call}: {type(error).__name__}: {text}")

    def add_missing_error(self, call: Call, torch_error: Exception) -> None:
        """torch raised an error, and minigrad did not."""
        if reason := next((rule.reason for rule in EXTENDED if rule.matches(call)), ""):
            self.extended[reason] += 1
        else:
            message = str(torch_error).splitlines()[0][:150]
            self.different.append(f"{call}: no error, in torch {type(torch_error).__name__}: {message}")

    def counts(self) -> dict[str, int]:
        """The number of cases of each kind."""
        return {
            "same": self.same,
            "errors in both": self.refused,
            "left out": sum(self.left_out.values()),
            "extended": sum(self.extended.values()),
            "different": len(self.different),
        }

    def __str__(self) -> str:
        counts = self.counts()
        return f"{sum(counts.values())} cases: {', '.join(f'{number} {name}' for name, number in counts.items())}"


def check(table: str, outcome: Outcome, record_property: Callable[[str, Any], None]) -> None:
    """Fail if a case was different, and note the counts for the summary of the run."""
    record_property("torch table", [table, outcome.counts()])
    assert not outcome.different, "\n".join([str(outcome), *outcome.different[:20]])


def run(call: Call, outcome: Outcome) -> None:
    """Make a call in torch and in minigrad, and add what it gave to the outcome."""
    theirs, torch_error = None, None
    translator = Translator(copy=call.in_place)
    try:
        ours, our_error = None, None
        (args, our_args), (kwargs, our_kwargs) = translator.both(call.args), translator.both(call.kwargs)
    except ERRORS as error:  # minigrad has no such Tensor
        our_error, args, kwargs = error, call.args, call.kwargs
    torch.manual_seed(0)
    try:
        theirs = call.function(*args, **kwargs)
    except ERRORS as error:
        torch_error = error
    if our_error is None:
        try:
            ours = call.ours(*our_args, **our_kwargs)
        except ERRORS as error:
            our_error = error
    if our_error is not None:
        outcome.add_error(call, our_error, torch_error)
    elif torch_error is not None:
        outcome.add_missing_error(call, torch_error)
    else:
        try:
            wrong = difference(theirs, ours, call.random)
            if not wrong and call.in_place:
                wrong = difference(*translator.pairs[0])
            if not wrong and not (call.in_place or call.random):
                wrong = gradient_difference(theirs, ours, translator.pairs)
        except ERRORS as failure:
            wrong = f"backward: {type(failure).__name__}: {failure}"
        if wrong:
            outcome.different.append(f"{call}: {wrong}")
        else:
            outcome.same += 1


# Samples
def seed() -> None:
    """Make torch's tables deterministic."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def spread(samples: list[Any], number: int | None) -> list[Any]:
    """`number` of the samples, spread over all of them; None: all."""
    if number is None or len(samples) <= number:
        return samples
    return [samples[i * len(samples) // number] for i in range(number)]


def keyword_names(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], method: bool) -> tuple[str, ...] | None:
    """torch's names of these positional arguments; None if they cannot be keywords."""
    try:
        candidates = [[*inspect.signature(function).parameters]]
    except (TypeError, ValueError):
        schemas = torch._C._jit_get_schemas_for_operator(f"aten::{function.__name__}")
        names = [[a.name for a in schema.arguments if not a.kwarg_only] for schema in schemas]
        candidates = [["input" if name == "self" else name for name in each] for each in names]
    for names in candidates:
        if len(names) < len(args):
            continue
        chosen = names[: len(args)]
        positional = args[:1] if method else ()
        named = dict(zip(chosen, args))
        if method:
            named.pop(chosen[0])
        try:
            function(*positional, **named, **kwargs)
        except TypeError:
            continue
        except Exception:  # another error is no matter of the names
            pass
        return tuple(chosen)
    return None
