"""torch's op_db: the sample, reference and error inputs of each op, through every door that minigrad has."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch, the reference, is not installed")
pytest.importorskip("expecttest", reason="torch's tables need expecttest")

import torch.nn.functional as torch_functional  # noqa: E402
from helpers.torch_tables import DTYPES, SAMPLES, Call, Outcome, check, keyword_names, run, seed, spread  # noqa: E402
from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402

import minigrad as mg  # noqa: E402
import minigrad.nn.functional as F  # noqa: E402

NAMESPACES = (("mg", torch, mg), ("F", torch_functional, F), ("Tensor", torch.Tensor, mg.Tensor))
# Names made of several ops. They have one signature of torch's, and tests/composed compares them with torch.
COMPOSED = {*mg.composed.__all__, *F.activation.__all__, *F.losses.__all__, *F.normalization.__all__}
COMPOSED |= {name for room in mg.composed.ROOMS for name in room.METHODS}
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
        if name in COMPOSED:
            continue
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
        if in_place not in COMPOSED and own(torch.Tensor, in_place) and own(mg.Tensor, in_place):
            found[f"Tensor.{in_place}"] = Door(
                f"Tensor.{in_place}", own(torch.Tensor, in_place), own(mg.Tensor, in_place), True
            )
    for variant, in_place in ((info.operator_variant, False), (info.inplace_operator_variant, True)):
        if found and variant is not None and own(mg.Tensor, f"__{variant.__name__.strip('_')}__"):
            found[f"operator.{variant.__name__}"] = Door(
                f"operator.{variant.__name__}", variant, variant, in_place, False
            )
    return [*found.values()]


def calls(info: Any, samples: Iterable[Any]) -> Iterator[Call]:
    """Every sample through every door, and with all arguments by keyword."""
    ways = doors(info)
    for sample in samples:
        args = (sample.input, *sample.args)
        if info.name == "where":  # whose entry begins with the value
            args = (args[1], args[0], *args[2:])
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
    if number is None:
        return found
    options = {frozenset(sample.kwargs): sample for sample in found}  # a sample with each set of options, too
    chosen = {id(sample): sample for sample in (*spread(found, number), *options.values())}
    return [*chosen.values()]


def dtypes(info: Any) -> list[torch.dtype]:
    """The dtypes of an entry that minigrad has, too."""
    return [dtype for dtype in DTYPES if dtype in info.dtypes]


def run_op(info: Any, number: int | None) -> Outcome:
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


INFOS = [info for info in op_db if is_public(info) and doors(info)]
names = [f"{info.name}{'.' * bool(info.variant_test_name)}{info.variant_test_name}" for info in INFOS]


@pytest.mark.parametrize("info", INFOS, ids=names)
def test_op_equals_torch(info, record_property):
    outcome = run_op(info, SAMPLES)
    check("op_db", outcome, record_property)


@pytest.mark.parametrize("info", [info for info in INFOS if info.error_inputs_func], ids=lambda info: info.name)
def test_error_inputs_are_refused(info, record_property):
    outcome = run_error_inputs(info)
    check("error inputs of op_db", outcome, record_property)


def test_every_door_has_samples():
    found = {door.name for info in INFOS for door in doors(info)}
    assert {"mg.add", "Tensor.add", "operator.add", "Tensor.add_", "operator.iadd", "F.cross_entropy"} <= found
