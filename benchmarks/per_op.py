"""Each op by itself, forward and forward + backward, in minigrad and in torch, measured by pytest-benchmark.

    python -m pytest benchmarks/per_op.py                                   a table for each op
    python -m pytest benchmarks/per_op.py -k "linear and backward"          some of it
    python -m pytest benchmarks/per_op.py --benchmark-autosave              saved for --benchmark-compare

The sizes are those of an MLP on MNIST: batch size 128, 784 inputs, 128 hidden units, 10 classes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pytest_benchmark", reason="pytest-benchmark is not installed")

CALLS: dict[str, tuple[list[tuple[int, ...]], Callable[..., Any]]] = {
    "mul of scalars": ([(), ()], lambda lib, x, y: x * y),
    "add": ([(128, 128), (128,)], lambda lib, x, y: x + y),
    "mul": ([(128, 128), (128, 128)], lambda lib, x, y: x * y),
    "exp": ([(128, 128)], lambda lib, x: lib.exp(x)),
    "sum": ([(128, 128)], lambda lib, x: x.sum(0)),
    "mean": ([(128, 128)], lambda lib, x: x.mean()),
    "transpose": ([(128, 784)], lambda lib, x: x.transpose(0, 1)),
    "rows": ([(128, 784)], lambda lib, x: x[10:90]),
    "cat": ([(128, 128), (128, 128)], lambda lib, x, y: lib.cat([x, y])),
    "matmul": ([(128, 784), (784, 128)], lambda lib, x, y: x @ y),
    "linear": ([(128, 784), (128, 784), (128,)], lambda lib, x, w, b: functional(lib).linear(x, w, b)),
    "relu": ([(128, 128)], lambda lib, x: functional(lib).relu(x)),
    "softmax": ([(128, 10)], lambda lib, x: functional(lib).softmax(x, 1)),
    "log_softmax": ([(128, 10)], lambda lib, x: functional(lib).log_softmax(x, 1)),
    "cross_entropy": ([(128, 10)], lambda lib, x: functional(lib).cross_entropy(x, lib.tensor(LABELS))),
    "mse_loss": ([(128, 10), (128, 10)], lambda lib, x, y: functional(lib).mse_loss(x, y)),
}
LABELS = np.random.default_rng(0).integers(0, 10, 128)


def functional(library: Any) -> Any:
    return library.nn.functional


@pytest.fixture(params=["minigrad", "torch"])
def library(request: pytest.FixtureRequest) -> Any:
    module = pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    if request.param == "torch":
        module.set_num_threads(1)
    return importlib.import_module(request.param)


def arguments(library: Any, name: str) -> list[Any]:
    random = np.random.default_rng(1)
    shapes, _ = CALLS[name]
    arrays = [random.standard_normal(shape).astype("float32") for shape in shapes]
    return [library.tensor(array, requires_grad=True) for array in arrays]


@pytest.mark.parametrize("name", CALLS)
def test_forward(name: str, library: Any, benchmark: Any) -> None:
    benchmark.group = f"{name}, forward"
    given = arguments(library, name)
    benchmark(CALLS[name][1], library, *given)


@pytest.mark.parametrize("name", CALLS)
def test_backward(name: str, library: Any, benchmark: Any) -> None:
    benchmark.group = f"{name}, forward and backward"
    given = arguments(library, name)
    g = library.ones(tuple(CALLS[name][1](library, *given).shape))

    def step() -> None:
        CALLS[name][1](library, *given).backward(g)
        for x in given:
            x.grad = None

    benchmark(step)
