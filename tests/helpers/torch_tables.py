"""torch's own tables of test cases, run through minigrad: the values, dtypes, shapes and gradients must be torch's.

The tables are in `torch.testing._internal`: `op_db`, `module_db`, `optim_db` and `loss_reference_fns`. A *door* is one
way to call an op: a function of `minigrad` or `nn.functional`, a method, an operator, an in-place form; each also with
every argument by keyword. torch's tensors of a case become Tensors that share their memory, layout included.

A case is one call. It has the same result in both, or minigrad raises an error and the case is in LEFT_OUT.
"""

from __future__ import annotations

import inspect
import operator
import random
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as torch_functional

import minigrad as mg
import minigrad.nn.functional as F

torch.set_num_threads(1)
warnings.filterwarnings("ignore", module="torch")

DTYPES = (
    *(torch.float32, torch.float64, torch.int64, torch.bool),
    *(torch.uint8, torch.int8, torch.int16, torch.int32),
)
ERRORS = (TypeError, ValueError, IndexError, RuntimeError, NotImplementedError, OverflowError, ZeroDivisionError)
TOLERANCES = {torch.float32: (1.3e-6, 1e-5), torch.float64: (1e-7, 1e-7)}  # (rtol, atol) of torch.testing.assert_close


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
        "half precision, complex and unsigned integers above 8 bits: the dtypes are bool, uint8, int8 to int64, float32, float64",
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
        if not isinstance(ours, tuple) or len(ours) != len(theirs):
            return f"expected {len(theirs)} results, got {ours!r:.60}"
        return next(filter(None, (difference(a, b, random) for a, b in zip(theirs, ours))), "")
    same = type(theirs) is type(ours) and (theirs == ours or (theirs != theirs and ours != ours))
    return "" if same else f"{ours!r:.60}, in torch {theirs!r:.60}"


def value_difference(theirs: np.ndarray, ours: np.ndarray) -> str:
    """How the elements of two arrays differ; empty if by no more than torch's tolerance."""
    if theirs.dtype.kind != "f":
        wrong = theirs != ours
    else:
        rtol, atol = (1.3e-6, 1e-5) if theirs.dtype == np.float32 else (1e-7, 1e-7)
        with np.errstate(all="ignore"):
            wrong = ~(
                (theirs == ours)
                | (np.abs(theirs - ours) <= atol + rtol * np.abs(theirs))
                | (np.isnan(theirs) & np.isnan(ours))
            )
    if not wrong.any():
        return ""
    at = np.unravel_index(int(np.argmax(wrong)), theirs.shape)
    return f"value {ours[at]!r} at {[*map(int, at)]}, in torch {theirs[at]!r}; {int(wrong.sum())} of {theirs.size} elements differ"


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
    expected = torch.autograd.grad(outputs, [x for x, _ in inputs], cotangents, allow_unused=True)
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
    """What a set of calls gave: how many were the same, how many are left out and why, and the others."""

    same: int = 0
    refused: int = 0  # torch raises an error, and so does minigrad
    left_out: Counter[str] = field(default_factory=Counter)
    different: list[str] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        self.same += other.same
        self.refused += other.refused
        self.left_out += other.left_out
        self.different += other.different

    def __str__(self) -> str:
        left_out = sum(self.left_out.values())
        total = self.same + self.refused + left_out + len(self.different)
        return f"{total} cases: {self.same} same, {self.refused} errors in both, {left_out} left out, {len(self.different)} different"


def run(call: Call, outcome: Outcome) -> None:
    """Make a call in torch and in minigrad, and add what it gave to the outcome."""
    grad = not call.in_place
    theirs: Any = None
    error: Exception | None = None
    try:
        translator = Translator(copy=call.in_place)
        (args, our_args), (kwargs, our_kwargs) = translator.both(call.args), translator.both(call.kwargs)
    except ERRORS as refusal:
        reason = reason_left_out(call, refusal)
        if reason:
            outcome.left_out[reason] += 1
        else:
            outcome.different.append(f"{call}: {refusal}")
        return
    torch.manual_seed(0)
    try:
        theirs = call.function(*args, **kwargs)
    except ERRORS as torch_error:
        error = torch_error
    try:
        ours = call.ours(*our_args, **our_kwargs)
    except ERRORS as refusal:
        reason = "" if error else reason_left_out(call, refusal)
        if error:
            outcome.refused += 1
        elif reason:
            outcome.left_out[reason] += 1
        else:
            outcome.different.append(f"{call}: {type(refusal).__name__}: {refusal}")
        return
    if error:
        outcome.different.append(
            f"{call}: no error, in torch {type(error).__name__}: {str(error).splitlines()[0][:150]}"
        )
        return
    wrong = difference(theirs, ours, call.random)
    if not wrong and call.in_place:
        wrong = difference(translator.pairs[0][0], translator.pairs[0][1])
    if not wrong and grad and not call.random:
        try:
            wrong = gradient_difference(theirs, ours, translator.pairs)
        except ERRORS as failure:
            wrong = f"backward: {type(failure).__name__}: {failure}"
    if wrong:
        outcome.different.append(f"{call}: {wrong}")
    else:
        outcome.same += 1


def reason_left_out(call: Call, error: Exception) -> str:
    """Why minigrad refuses a call, if that is by design; else empty."""
    text = str(error)
    return next((rule.reason for rule in LEFT_OUT if rule.matches(call) and re.search(rule.error, text)), "")


# op_db
NAMESPACES = (("mg", torch, mg), ("F", torch_functional, F), ("Tensor", torch.Tensor, mg.Tensor))
RANDOM = {"rand", "randn", "randint", "randperm", "dropout"}


def own(owner: Any, name: str) -> Any:
    """An attribute that `owner` defines or inherits, not one of its metaclass; None if there is none."""
    if inspect.isclass(owner):
        return next((vars(base)[name] for base in owner.__mro__[:-1] if name in vars(base)), None)
    return getattr(owner, name, None)


@dataclass(frozen=True)
class Door:
    """One way to call an op, in torch and in minigrad."""

    name: str
    function: Callable[..., Any]
    ours: Callable[..., Any]
    in_place: bool = False
    keywords: bool = True  # whether arguments may be keywords


def is_public(info: Any) -> bool:
    """Whether an entry of op_db is a function of torch, torch.nn.functional or Tensor."""
    return "." not in info.name or info.name.startswith("nn.functional.")


def doors(info: Any) -> list[Door]:
    """The doors to an entry of op_db that minigrad has."""
    found: dict[str, Door] = {}
    for name in dict.fromkeys(n.rpartition(".")[2] for n in (info.name, *(alias.name for alias in info.aliases))):
        for place, theirs, ours in NAMESPACES:
            their_attribute, our_attribute = own(theirs, name), own(ours, name)
            if their_attribute is None or our_attribute is None:
                continue
            if isinstance(our_attribute, property):
                found[f"{place}.{name}"] = Door(f"{place}.{name}", *[operator.attrgetter(name)] * 2, keywords=False)
            elif callable(their_attribute) and not isinstance(our_attribute, np.dtype):
                found[f"{place}.{name}"] = Door(
                    f"{place}.{name}", their_attribute, our_attribute, name.endswith("_") and name[0] != "_"
                )
        in_place = name + "_"
        if own(torch.Tensor, in_place) is not None and own(mg.Tensor, in_place) is not None:
            found[f"Tensor.{in_place}"] = Door(
                f"Tensor.{in_place}", own(torch.Tensor, in_place), own(mg.Tensor, in_place), True
            )
    for variant, in_place in ((info.operator_variant, False), (info.inplace_operator_variant, True)):
        if found and variant is not None and own(mg.Tensor, f"__{variant.__name__.strip('_')}__"):
            found[f"operator.{variant.__name__}"] = Door(
                f"operator.{variant.__name__}", variant, variant, in_place, False
            )
    return [*found.values()]


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


def calls(info: Any, samples: Iterable[Any]) -> Iterator[Call]:
    """Every sample through every door, and with all arguments by keyword."""
    ways = doors(info)
    for sample in samples:
        args = (sample.input, *sample.args)
        for door in ways:
            method = door.name.startswith("Tensor.")
            if (method or door.in_place) and not isinstance(sample.input, torch.Tensor):
                continue
            if not door.keywords and (sample.kwargs or (len(args) > 2 and door.name.startswith("operator"))):
                continue
            random = door.name.rpartition(".")[2] in RANDOM
            yield Call(door.name, door.function, door.ours, args, sample.kwargs, door.in_place, random)
            if not door.keywords or door.name.endswith("__") or len(args) <= method:
                continue
            names = keyword_names(door.function, args, sample.kwargs, method)
            if names is not None:
                named = dict(zip(names, args)) | sample.kwargs
                first = (named.pop(names[0]),) if method else ()
                yield Call(f"{door.name} by keyword", door.function, door.ours, first, named, door.in_place, random)


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


def samples(info: Any, dtype: torch.dtype, number: int | None) -> list[Any]:
    """The sample inputs of an entry of op_db and, without `number`, its reference inputs."""
    requires_grad = dtype.is_floating_point and info.supports_autograd
    make = info.reference_inputs if number is None else info.sample_inputs
    found = []
    for each in (requires_grad, False):
        seed()
        try:
            found = [*make("cpu", dtype, requires_grad=each)]
            break
        except ValueError:  # some reference inputs are integers whatever the dtype is
            continue
    for sample in found:
        for x in (sample.input, *sample.args):
            if requires_grad and not each and isinstance(x, torch.Tensor) and x.is_floating_point():
                x.requires_grad_()
    return spread(found, number)


def dtypes(info: Any) -> list[torch.dtype]:
    """The dtypes of an entry that minigrad has, too."""
    return [dtype for dtype in DTYPES if dtype in info.dtypes]


def run_op(info: Any, number: int | None = None) -> Outcome:
    """The samples of an entry of op_db, `number` for each dtype or all, through every door."""
    outcome = Outcome()
    for dtype in dtypes(info):
        for call in calls(info, samples(info, dtype, number)):
            run(call, outcome)
    return outcome


def run_error_inputs(info: Any) -> Outcome:
    """The error inputs of an entry of op_db through every door: calls that torch refuses."""
    outcome = Outcome()
    if info.error_inputs_func is None:
        return outcome
    seed()
    for error_input in info.error_inputs("cpu"):
        for call in calls(info, [error_input.sample_input]):
            run(call, outcome)
    return outcome
