"""What all tests share: the backends they run on, how long hypothesis looks, and where real MNIST is.

    pytest --backend numpy|strict|cupy|all      default: numpy and strict, and cupy where there is a CUDA device
    pytest --hypothesis-profile dev|ci|thorough  default: the environment variable MINIGRAD_PROFILE, else dev

A test that takes `backend` (the name) or `device` (for `.to(...)`) runs once for each backend.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers import fake_gpu
from hypothesis import HealthCheck, settings

from minigrad import backend as minigrad_backend

DEVICES = {"numpy": "cpu", "strict": "strict", "cupy": "cuda"}

fake_gpu.register()

collect_ignore_glob = ["robustness/fuzzing/*", "mutation/*"]  # they need programs that the tests do without

slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
common = {"deadline": None, "suppress_health_check": slow, "print_blob": True, "database": None}
settings.register_profile("dev", max_examples=25, **common)
settings.register_profile("ci", max_examples=200, derandomize=True, **common)
settings.register_profile("thorough", max_examples=5000, **common)
settings.load_profile(os.environ.get("MINIGRAD_PROFILE", "dev"))


def why_not(name: str) -> str:
    """Why a backend cannot be tested here; empty where it can."""
    try:
        minigrad_backend.library(DEVICES[name])
    except minigrad_backend.DeviceError as error:
        return str(error)
    return ""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--backend", choices=[*DEVICES, "all"], help="test this backend only, or all three")
    parser.addoption("--kill-matrix", action="store_true", help="print which planted fault was caught in which op")


def backends(config: pytest.Config) -> list[str]:
    """The backends that this run tests."""
    chosen = config.getoption("--backend")
    if chosen is None:
        return [name for name in DEVICES if not why_not(name)]
    names = list(DEVICES) if chosen == "all" else [chosen]
    for name in names:
        if why_not(name):
            raise pytest.UsageError(f"--backend {chosen}: {why_not(name)}")
    return names


def pytest_configure(config: pytest.Config) -> None:
    backends(config)  # a backend that is asked for and cannot be had ends the run at once


def pytest_report_header(config: pytest.Config) -> list[str]:
    tested = backends(config)
    no_device = "" if not why_not("cupy") else "; cupy: no CUDA device, not tested"
    torch = "" if find_spec("torch") else "torch: not installed, what is compared with it is skipped"
    lines = [f"minigrad: backends {', '.join(tested)}{no_device}", torch]
    return [line for line in lines if line]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", backends(metafunc.config), scope="session")


@pytest.fixture
def device(backend: str) -> str:
    """The device of the backend under test, as `.to(device)` takes it."""
    return DEVICES[backend]


@pytest.fixture(scope="session")
def torch():
    """The module torch; without it the test is skipped."""
    return pytest.importorskip("torch", reason="torch, the reference, is not installed")


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """The folder that holds real MNIST, as `MNIST(root)` takes it: MINIGRAD_DATA, else ../shared/data by the project.

    Where there is none the test is skipped, or fails if MINIGRAD_REQUIRE_DATA=1.
    """
    project = Path(__file__).resolve().parent.parent
    places = [Path(os.environ["MINIGRAD_DATA"])] if os.environ.get("MINIGRAD_DATA") else []
    places.append(project.parent / "shared" / "data")
    for place in places:
        if (place / "MNIST" / "raw").is_dir():
            return place
    message = f"no real MNIST in {' or '.join(map(str, places))}; set MINIGRAD_DATA to the folder that holds MNIST/raw"
    if os.environ.get("MINIGRAD_REQUIRE_DATA") == "1":
        pytest.fail(message)
    pytest.skip(message)


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    """The kill matrix of test_faults.py: op x fault, the number of the case that caught it."""
    if not config.getoption("--kill-matrix"):
        return
    rows = [
        value
        for report in (*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", []))
        for key, value in report.user_properties
        if key == "kill matrix" and report.when == "call"
    ]
    if rows:
        faults = rows[0]["faults"]
        terminalreporter.section("kill matrix: in which case a planted fault was caught; - where it does not fit")
        for i, fault in enumerate(faults, 1):
            terminalreporter.write_line(f"{i:3} {fault}")
        terminalreporter.write_line(" " * 32 + "".join(f"{i:5}" for i in range(1, len(faults) + 1)))
        for row in rows:
            cells = (row["row"].get(fault) for fault in faults)
            marks = ("    -" if cell is None else f"{cell:5}" if cell else " LIVE" for cell in cells)
            terminalreporter.write_line(f"{row['op']:32}" + "".join(marks))
        planted = sum(len(row["row"]) for row in rows)
        alive = sum(not cell for row in rows for cell in row["row"].values())
        terminalreporter.write_line(
            f"{planted} faults planted in {len(rows)} ops, {planted - alive} caught, {alive} survive"
        )
