"""torch's loss_reference_fns: the losses written out in loops, which share no code with torch's or with ours."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch, the reference, is not installed")
pytest.importorskip("expecttest", reason="torch's tables need expecttest")

from helpers.torch_tables import THOROUGH, Call, Outcome, check, run, seed  # noqa: E402
from torch.testing._internal.common_nn import loss_reference_fns  # noqa: E402

import minigrad as mg  # noqa: E402
import minigrad.nn.functional as F  # noqa: E402

REDUCTIONS = ("mean", "sum", "none")
SHAPES = {"NLLLoss": [(5, 4), (1, 3), (7, 2)], "NLLLossNd": [(2, 3, 4), (2, 4, 3, 2), (1, 2, 2, 1, 3)]}
SHAPES["CrossEntropyLoss"] = [shape for shapes in SHAPES.values() for shape in shapes]
ROWS = {"NLLLoss": ("nll_loss", "NLLLoss"), "NLLLossNd": ("nll_loss", "NLLLoss")}
ROWS["CrossEntropyLoss"] = ("cross_entropy", "CrossEntropyLoss")


def options_of(name: str) -> Iterator[dict[str, Any]]:
    """Every combination of the options of a loss; "weight" is whether there are weights."""
    smoothing = (0.0, 0.15, 1.0) if name == "CrossEntropyLoss" else (0.0,)
    for reduction, weight, ignored, epsilon in product(REDUCTIONS, (False, True), (None, 1, -1), smoothing):
        options = {"reduction": reduction, "weight": weight}
        options |= {} if ignored is None else {"ignore_index": ignored}
        yield options | ({"label_smoothing": epsilon} if epsilon else {})


def calls(name: str) -> Iterator[Call]:
    reference = loss_reference_fns[name]
    function, module = getattr(F, ROWS[name][0]), getattr(mg.nn, ROWS[name][1])

    def as_module(input: Any, target: Any, **options: Any) -> Any:
        return module(**options)(input, target)

    def as_module_by_keyword(input: Any, target: Any, **options: Any) -> Any:
        return module(**options)(input=input, target=target)

    def by_keyword(input: Any, target: Any, **options: Any) -> Any:
        return function(input=input, target=target, **options)

    doors = {"F": function, "F by keyword": by_keyword, "nn": as_module, "nn by keyword": as_module_by_keyword}
    for dtype, shape in product((torch.float32, torch.float64), SHAPES[name] if THOROUGH else SHAPES[name][1::3]):
        for options in options_of(name):
            seed()
            scores = torch.randn(shape, dtype=dtype)
            scores = scores if name == "CrossEntropyLoss" else scores.log_softmax(1)
            scores.requires_grad_(name != "NLLLoss")  # its reference copies, and has no gradient
            labels = torch.randint(0, shape[1], (shape[0], *shape[2:]))
            weight = torch.rand(shape[1], dtype=dtype) + 0.1 if options["weight"] else None
            if options.get("ignore_index", 0) < 0:
                labels.view(-1)[0] = options["ignore_index"]
            if "ignore_index" in options and (labels == options["ignore_index"]).all():
                continue  # the references divide by 0
            targets = [labels]
            if name == "CrossEntropyLoss" and "ignore_index" not in options:
                targets.append(torch.rand(shape, dtype=dtype).softmax(1))
            for target, (door, ours) in product(targets, doors.items()):
                arguments = {**options, "weight": weight}
                yield Call(f"{door} {ROWS[name][0]}", reference, ours, (scores, target), arguments)


@pytest.mark.parametrize("name", ROWS)
def test_loss_equals_reference(name, record_property):
    outcome = Outcome()
    for call in calls(name):
        run(call, outcome)
    check("loss_reference_fns", outcome, record_property)


def test_no_other_loss_has_a_reference():
    names = {name.partition("_")[0] for name in loss_reference_fns} - {"NLLLossNd"}
    names -= set(vars(mg.nn.simple_losses))  # compared in tests/nn/test_further_modules.py
    assert {name for name in names if hasattr(mg.nn, name)} == {*ROWS} - {"NLLLossNd"}
