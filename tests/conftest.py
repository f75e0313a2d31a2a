"""Options and fixtures of all tests: the backends, the effort of hypothesis, the folder of real MNIST.

    pytest --backend numpy|strict|cupy|all      default: numpy and strict, and cupy if there is a CUDA device
    pytest --hypothesis-profile dev|ci|thorough  default: the environment variable MINIGRAD_PROFILE, else dev

A test with an argument `backend` (the name) or `device` (for `.to(...)`) runs once for each backend.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers import fake_gpu
from helpers.fake_gpu import DEVICES
from hypothesis import HealthCheck, settings

from minigrad import backend as minigrad_backend
from minigrad.autograd.methods import OPS
from minigrad.autograd.op import tensor_namespace

fake_gpu.register()

collect_ignore_glob = ["robustness/fuzzing/*", "mutation/*"]  # they need atheris, and Cosmic Ray

slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
common = {"deadline": None, "suppress_health_check": slow, "print_blob": True, "database": None}
settings.register_profile("dev", max_examples=25, **common)
settings.register_profile("ci", max_examples=200, derandomize=True, **common)
settings.register_profile("thorough", max_examples=5000, **common)
settings.load_profile(os.environ.get("MINIGRAD_PROFILE", "dev"))


def unavailable_reason(name: str) -> str:
    """The reason why a backend is not available; empty if it is."""
    try:
        minigrad_backend.library(DEVICES[name])
    except minigrad_backend.DeviceError as error:
        return str(error)
    return ""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--backend", choices=[*DEVICES, "all"], help="test this backend only, or all three")
    parser.addoption("--kill-matrix", action="store_true", help="print which mutation was detected in which op")


def selected_backends(config: pytest.Config) -> list[str]:
    """The backends to test. Raises UsageError if one that was selected by name is not available."""
    selected = config.getoption("--backend")
    if selected is None:
        return [name for name in DEVICES if not unavailable_reason(name)]
    names = list(DEVICES) if selected == "all" else [selected]
    for name in names:
        if unavailable_reason(name):
            raise pytest.UsageError(f"--backend {selected}: {unavailable_reason(name)}")
    return names


def pytest_configure(config: pytest.Config) -> None:
    selected_backends(config)  # fail before collection


def pytest_report_header(config: pytest.Config) -> list[str]:
    cupy = "; cupy: no CUDA device, not tested" if unavailable_reason("cupy") else ""
    lines = [f"minigrad: backends {', '.join(selected_backends(config))}{cupy}"]
    return lines if find_spec("torch") else [*lines, "torch: not installed, comparisons with torch are skipped"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", selected_backends(metafunc.config), scope="session")


@pytest.fixture
def device(backend: str) -> str:
    """The device of the backend under test, for `.to(device)`."""
    return DEVICES[backend]


@pytest.fixture(scope="session")
def torch():
    """The module torch; the test is skipped if it is not installed."""
    return pytest.importorskip("torch", reason="torch, the reference, is not installed")


@pytest.fixture
def restore_ops() -> Iterator[None]:
    """Remove the ops that a test defines from the registry again."""
    registries = (OPS, vars(tensor_namespace))
    saved = [dict(registry) for registry in registries]
    yield
    for registry, before in zip(registries, saved):
        registry.clear()
        registry.update(before)


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """The root of real MNIST, for `MNIST(root)`: MINIGRAD_DATA, or ../shared/data next to the project.

    If there is none, the test is skipped; with MINIGRAD_REQUIRE_DATA=1 it fails.
    """
    project = Path(__file__).resolve().parent.parent
    candidates = [Path(os.environ["MINIGRAD_DATA"])] if os.environ.get("MINIGRAD_DATA") else []
    candidates.append(project.parent / "shared" / "data")
    for root in candidates:
        if (root / "MNIST" / "raw").is_dir():
            return root
    searched = " or ".join(map(str, candidates))
    message = f"no real MNIST in {searched}; set MINIGRAD_DATA to the folder that contains MNIST/raw"
    if os.environ.get("MINIGRAD_REQUIRE_DATA") == "1":
        pytest.fail(message)
    pytest.skip(message)


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    """The kill matrix of test_planted_faults.py: op x mutation, the number of the case that detected it."""
    if not config.getoption("--kill-matrix"):
        return
    reports = [*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])]
    rows = [value for r in reports if r.when == "call" for key, value in r.user_properties if key == "kill matrix"]
    if not rows:
        return
    mutations = rows[0]["mutations"]
    write = terminalreporter.write_line
    terminalreporter.section("kill matrix: the case that detected a mutation; - if it does not apply")
    for i, mutation in enumerate(mutations, 1):
        write(f"{i:3} {mutation}")
    write(" " * 32 + "".join(f"{i:5}" for i in range(1, len(mutations) + 1)))
    for row in rows:
        cells = (row["row"].get(mutation) for mutation in mutations)
        marks = ("    -" if cell is None else f"{cell:5}" if cell else " LIVE" for cell in cells)
        write(f"{row['op']:32}" + "".join(marks))
    total = sum(len(row["row"]) for row in rows)
    alive = sum(not cell for row in rows for cell in row["row"].values())
    write(f"{total} mutations of {len(rows)} ops, {total - alive} detected, {alive} survive")
