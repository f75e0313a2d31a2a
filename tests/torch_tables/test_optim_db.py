"""torch's optim_db: the options of each optimizer, over steps, in groups, and through state_dict."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch, the reference, is not installed")
pytest.importorskip("expecttest", reason="torch's tables need expecttest")

from helpers.torch_tables import THOROUGH, Call, Outcome, check, run, seed  # noqa: E402
from torch.testing._internal.common_optimizers import optim_db  # noqa: E402

import minigrad as mg  # noqa: E402

INFOS = [info for info in optim_db if hasattr(mg.optim, info.optim_cls.__name__)]
SHAPES = [[(3, 2)], [()], [(2, 3), (3,), (1, 2, 2)], [(0, 3), (4,)]]
STEPS = 5
WAYS = ("keywords", "positions", "groups", "resumed")


def trained(
    library: Any, cls: Any, way: str, tensors: list[Any], gradients: list[list[Any]], options: dict[str, Any]
) -> list[Any]:
    """The parameters after some steps, and the state of the optimizer."""
    parameters = [tensor.clone().detach().requires_grad_() for tensor in tensors]
    if way == "groups":
        optimizer = cls([{"params": [p], **options} for p in parameters])
    elif way == "positions":
        names = [*inspect.signature(getattr(torch.optim, cls.__name__).__init__).parameters.values()][2:]
        defaults = {p.name: p.default for p in names if p.kind is p.POSITIONAL_OR_KEYWORD}
        keywords = {name: value for name, value in options.items() if name not in defaults}
        optimizer = cls(parameters, *(options.get(name, default) for name, default in defaults.items()), **keywords)
    else:
        optimizer = cls(params=parameters, **options)
    for step, grads in enumerate(gradients):
        for parameter, grad in zip(parameters, grads):
            parameter.grad = None if step == 1 else grad.clone()
        optimizer.step()
        if way == "resumed" and step == 2:
            state = optimizer.state_dict()
            optimizer = cls(parameters, lr=0.5)
            optimizer.load_state_dict(state)
    state = optimizer.state_dict()["state"]
    entries = [(name, state[i][name]) for i in sorted(state) for name in sorted(state[i])]
    steps = [float(entry) for name, entry in entries if name == "step"]
    arrays = [entry for name, entry in entries if name != "step"]
    names = [[*sorted(entry)] for entry in state.values()]
    return [[parameter.detach() for parameter in parameters], names, steps, arrays]


def calls(info: Any) -> Iterator[Call]:
    name = info.optim_cls.__name__
    ours = getattr(mg.optim, name)
    for dtype in (torch.float32, torch.float64):
        for optim_input in info.optim_inputs_func("cpu", dtype):
            for shapes in SHAPES if THOROUGH else SHAPES[2:3]:
                seed()
                tensors = [torch.randn(shape, dtype=dtype) for shape in shapes]
                gradients = [[torch.randn(shape, dtype=dtype) for shape in shapes] for _ in range(STEPS)]
                for way in WAYS:
                    yield Call(
                        f"optim.{name} {way}",
                        lambda way, *args, info=info: trained(torch, info.optim_cls, way, *args),
                        lambda way, *args, ours=ours: trained(mg, ours, way, *args),
                        (way, tensors, gradients, optim_input.kwargs),
                        {},
                    )


def built_without_warning(cls: Any) -> Any:
    """The class as a function that raises torch's warning about a parameter given twice."""

    def build(*args: Any, **options: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            try:
                return cls(*args, **options)
            except UserWarning as warning:
                raise ValueError(str(warning)) from warning

    return build


def error_calls(info: Any) -> Iterator[Call]:
    name = info.optim_cls.__name__
    for dtype in (torch.float32, torch.float64):
        for error_input in info.optim_error_inputs_func("cpu", dtype):
            given = error_input.optimizer_error_input
            params = given.params if given.params is not None else [torch.ones(2, dtype=dtype, requires_grad=True)]
            theirs = built_without_warning(info.optim_cls)
            yield Call(f"optim.{name}", theirs, getattr(mg.optim, name), (params,), given.kwargs)


@pytest.mark.parametrize("info", INFOS, ids=lambda info: info.optim_cls.__name__)
def test_optimizer_equals_torch(info, record_property):
    outcome = Outcome()
    for call in calls(info):
        run(call, outcome)
    check("optim_db", outcome, record_property)


@pytest.mark.parametrize("info", INFOS, ids=lambda info: info.optim_cls.__name__)
def test_optimizer_refuses_error_inputs(info, record_property):
    outcome = Outcome()
    for call in error_calls(info):
        run(call, outcome)
    check("error inputs of optim_db", outcome, record_property)
