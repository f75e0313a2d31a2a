"""`pytest --engine=my_engine.py`: each requirement is a test, so JUnit reports and class-room grading work as usual.

    pytest --engine=my_engine.py --engine-level=arrays --junitxml=report.xml

A requirement that the engine has no part of is skipped. The points of each are a property of its test case in the JUnit
report, and their sum is in the summary.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .contained import EngineProcess
    from .report import Result
    from .requirements import Requirement


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("minigrad", "checks of an autograd engine")
    group.addoption("--engine", metavar="FILE", help="check the engine of the adapter in this Python file")
    group.addoption("--engine-level", metavar="LEVEL", action="append", default=[], help="only this level (repeatable)")
    group.addoption("--engine-seed", metavar="N", type=int, default=0, help="seed of the examples (default: 0)")
    group.addoption("--engine-thorough", action="store_true", help="try more examples, for some minutes")


def pytest_configure(config: pytest.Config) -> None:
    """Collect the engine, and unless other files are named only the engine."""
    if config.getoption("engine") is None:
        return
    try:
        from .loading import AdapterError, split_path
        from .requirements import LEVELS
    except ModuleNotFoundError as error:
        raise pytest.UsageError(f"--engine: needs {error.name}; run: python -m pip install {error.name}") from error
    unknown = [level for level in config.getoption("engine_level") if level not in LEVELS]
    if unknown:
        raise pytest.UsageError(f"--engine-level: expected {', '.join(LEVELS)}, got {', '.join(unknown)}")
    try:
        file, _ = split_path(config.getoption("engine"))
    except AdapterError as error:
        raise pytest.UsageError(str(error)) from error
    named = config.args if config.args_source is pytest.Config.ArgsSource.ARGS else []
    config.args = [*named, str(file)]


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> EngineFile | None:
    """The file of the engine is not imported here: it has tests of its own kind."""
    from .loading import split_path

    engine = parent.config.getoption("engine")
    if engine is None or module_path != split_path(engine)[0].resolve():
        return None
    return EngineFile.from_parent(parent, path=module_path)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The points, by level."""
    if config.getoption("engine") is None:
        return
    points: dict[str, list[float]] = {}
    for kind in ("passed", "failed", "skipped"):
        for report in terminalreporter.getreports(kind):
            properties = dict(report.user_properties)
            if "points" in properties and report.when == "call":
                total = points.setdefault(properties["level"], [0.0, 0.0])
                total[0] += properties["points"]
                total[1] += properties["points possible"]
    if points:
        terminalreporter.section("points")
        for level, (reached, possible) in [*points.items(), ("all", [sum(p) for p in zip(*points.values())])]:
            terminalreporter.write_line(f"{level:10} {reached:6.2f} of {possible:g}")


class EngineFile(pytest.Module):
    """The file with the adapter: a test for each requirement."""

    process: EngineProcess | None = None

    def collect(self) -> Iterator[pytest.Item]:
        """The requirements of the chosen levels."""
        from .report import chosen_requirements

        for requirement in chosen_requirements(self.config.getoption("engine_level")):
            yield RequirementItem.from_parent(self, name=requirement.id, requirement=requirement)

    def engine(self) -> EngineProcess:
        """The process in which the engine runs, started at the first use."""
        from .contained import EngineProcess
        from .loading import AdapterError

        if self.process is None:
            option = self.config.getoption
            try:
                self.process = EngineProcess(option("engine"), option("engine_seed"), option("engine_thorough"))
            except AdapterError as error:
                pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
        return self.process

    def teardown(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.close()


class RequirementFailed(AssertionError):
    """A requirement that is not met."""


class RequirementItem(pytest.Item):
    """One requirement as a test."""

    def __init__(self, *, requirement: Requirement, **options: Any) -> None:
        super().__init__(**options)
        self.requirement = requirement

    def runtest(self) -> None:
        """Fail with the counterexamples; skip what the engine lacks."""
        from .report import Result

        assert isinstance(self.parent, EngineFile)  # nosec B101 # for mypy
        result = Result(self.requirement, self.parent.engine().run(self.requirement))
        self.user_properties += [("level", self.requirement.level), ("points", result.points)]
        self.user_properties += [("points possible", self.requirement.points)]
        if result.status == "failed":
            raise RequirementFailed(self.explain(result))
        if result.status == "missing":
            pytest.skip("missing: " + ", ".join(dict.fromkeys(part.lacks for part in result.parts)))

    def explain(self, result: Result) -> str:
        """The counterexamples, why it matters, and where to read about it."""
        return "\n".join([*result.failures(), f"why: {self.requirement.why}", f"see {self.requirement.link}"])

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """The counterexamples without a traceback."""
        return str(excinfo.value) if excinfo.errisinstance(RequirementFailed) else super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, None, str]:
        """The file and the name of the requirement."""
        return self.path, None, self.requirement.id
