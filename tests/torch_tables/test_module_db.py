"""torch's module_db: each Module built, given torch's parameters, run forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch, the reference, is not installed")
pytest.importorskip("expecttest", reason="torch's tables need expecttest")

from helpers.torch_tables import THOROUGH, Call, Outcome, check, cotangent, keyword_names, run, seed  # noqa: E402
from torch.testing._internal.common_modules import module_db  # noqa: E402

import minigrad as mg  # noqa: E402

INFOS = [info for info in module_db if info.module_cls is getattr(torch.nn, info.module_cls.__name__, None)]
INFOS = [info for info in INFOS if hasattr(mg.nn, info.module_cls.__name__)]
MODES = [*product((torch.float32, torch.float64), (True, False))]  # of dtype and training


def forward_backward(module: Any, gradient: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """The output, the gradients of the inputs and of the parameters, and the names of the state."""
    y = module(*args, **kwargs)
    tensors = [x for x in (*args, *kwargs.values()) if isinstance(x, type(y)) and x.requires_grad]
    parameters = [*module.parameters()]
    if y.requires_grad:
        y.backward(gradient(y))
    state = module.state_dict()
    return [
        y.detach(),
        [x.grad for x in tensors],
        [p.grad for p in parameters],
        [*state],
        [*state.values()],
        repr(module),
    ]


def calls(info: Any) -> Iterator[Call]:
    theirs, ours = info.module_cls, getattr(mg.nn, info.module_cls.__name__)
    for dtype, training in MODES if THOROUGH else MODES[::3]:
        seed()
        for sample in info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=True, training=training):
            build, forward = sample.constructor_input, sample.forward_input
            state = theirs(*build.args, **build.kwargs).to(dtype).state_dict()

            def run_theirs(build_args, build_kwargs, state, args, kwargs, training=training, dtype=dtype):
                module = theirs(*build_args, **build_kwargs).to(dtype).train(training)
                module.load_state_dict(state)
                return forward_backward(module, cotangent, args, kwargs)

            def run_ours(build_args, build_kwargs, state, args, kwargs, training=training, dtype=dtype):
                module = ours(*build_args, **build_kwargs).to(dtype=str(dtype).removeprefix("torch.")).train(training)
                module.load_state_dict(state)
                gradient = lambda y: mg.tensor(cotangent(torch.from_numpy(y.detach().numpy())).numpy())
                return forward_backward(module, gradient, args, kwargs)

            name = f"nn.{theirs.__name__}"
            for args, kwargs in by_keyword(theirs.forward, forward):
                for build_args, build_kwargs in by_keyword(theirs.__init__, build):
                    everything = (build_args, build_kwargs, state, args, kwargs)
                    yield Call(name, run_theirs, run_ours, everything, {})


def by_keyword(function: Any, given: Any) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The arguments as they are, and all as keywords."""
    ways = [(tuple(given.args), given.kwargs)]
    names = keyword_names(function, (None, *given.args), given.kwargs, True) if given.args else None
    if names:
        ways.append(((), dict(zip(names[1:], given.args)) | given.kwargs))
    return ways


@pytest.mark.filterwarnings("ignore:reduction")  # torch's, of KLDivLoss
@pytest.mark.parametrize("info", INFOS, ids=lambda info: info.module_cls.__name__)
def test_module_equals_torch(info, record_property):
    outcome = Outcome()
    for call in calls(info):
        run(call, outcome)
    check("module_db", outcome, record_property)
