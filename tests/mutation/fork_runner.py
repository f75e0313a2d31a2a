"""Runs tests in a fork of this process, which has imported all that they need except minigrad."""

from __future__ import annotations

import ast
import gc
import hashlib
import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any

import coverage
import hypothesis
import pytest
from cosmic_ray.work_item import MutationSpec, TestOutcome

with suppress(ImportError):
    import torch

    torch.set_num_threads(1)

# Left out: tests that plant faults themselves, that read the source, that take minutes, and of whole programs.
LEFT_OUT = (
    "tests/autograd/test_planted_engine_faults.py",
    "tests/ops/test_planted_faults.py",
    "tests/programs/",
    "tests/robustness/test_memory_and_threads.py",
    "tests/test_architecture.py",
    "tests/test_course.py",
    "tests/test_readme.py",
    "tests/viz/",
)
FIRST = 30  # tests in the first fork, which kills most of the mutants
SLOW = 0.2  # seconds; slower tests are run last
MEMORY = 8 << 30  # bytes that a mutant may allocate beyond the memory of this process


class Suite:
    """The tests of a copy of the project: the lines that each test runs, and how long it takes."""

    def __init__(self, project: Path, examples: int, limit: float, known: Path, folders: list[str]) -> None:
        self.project, self.examples, self.limit = project, examples, limit
        self.kills: dict[str, Counter[str]] = defaultdict(Counter)  # for each file, how many mutants a test killed
        found: dict[str, Any] = {"failed": [], "files": {}, "modules": [], "seconds": {}, "through": {}}
        if known.exists():
            found = json.loads(known.read_text())
        changed = {file: text for file, text in test_files(folders).items() if found["files"].get(file) != text}
        if changed:
            print(f"profile of {len(changed)} test files without a mutant: the lines that each test runs", flush=True)
            forget(found, changed)
            more = self.fork(sorted(changed), profile=True)
            if "through" not in more:
                raise SystemExit(f"the tests do not run: {more['failed']}")
            found["failed"] += more["failed"]
            found["files"].update(changed)
            found["modules"] = sorted({*found["modules"], *more["modules"]})
            found["seconds"].update(more["seconds"])
            for file, lines in more["through"].items():
                for line, tests in lines.items():
                    found["through"].setdefault(file, {}).setdefault(line, []).extend(tests)
            known.write_text(json.dumps(found))
        if found["failed"]:
            print("left out, as they fail without a mutant:", *found["failed"])
        for module in found["modules"]:
            with suppress(Exception):
                importlib.import_module(module)
        gc.collect()
        gc.freeze()  # so that the children do not collect these objects
        self.seconds: dict[str, float] = found["seconds"]
        self.through: dict[str, dict[str, list[str]]] = found["through"]
        self.lines = {path: statements(project / path) for path in self.through}

    def run(self, mutation: MutationSpec) -> tuple[TestOutcome, str]:
        """KILLED and the test that failed, or SURVIVED: run the tests that run the mutated line."""
        file = str(mutation.module_path)
        kills = self.kills[file]
        tests: list[str] = []
        for tier in self.tests_of_line(file, mutation.start_pos[0]):
            cases: Counter[str] = Counter()  # the cases of a parametrized test are spread between the others
            rank = {}
            for test in sorted(tier.difference(tests), key=self.seconds.__getitem__):
                cases[test.split("[")[0]] += 1
                rank[test] = self.seconds[test] > SLOW, cases[test.split("[")[0]], self.seconds[test]
            tests += sorted(rank, key=rank.__getitem__)
        tests.sort(key=lambda test: -kills[test])
        total = accumulate(self.seconds[test] for test in tests)
        tests = [test for test, sum_so_far in zip(tests, total) if sum_so_far <= self.limit]
        for part in (tests[:FIRST], tests[FIRST:]):
            found = self.fork(part) if part else {}
            if found.get("failed"):
                kills[found["failed"]] += 1
                return TestOutcome.KILLED, found["failed"]
        return TestOutcome.SURVIVED, f"{len(tests)} tests passed"

    def tests_of_line(self, file: str, line: int) -> list[set[str]]:
        """The tests that run the statement of a line. If the import runs it: then those of its function, those of the
        file."""
        lines = self.through.get(file, {})
        everything = {test for tests in lines.values() for test in tests if test}
        tiers = []
        for first, last in self.lines.get(file, {}).get(line, []):
            tests = {test for n in range(first, last + 1) for test in lines.get(str(n), [])}
            tiers.append(tests - {""})
            if tests and "" not in tests:
                return tiers
        return [*tiers, everything or set(self.seconds)]

    def fork(self, tests: list[str], profile: bool = False) -> dict[str, Any]:
        """Run these tests in a child process. Returns the first failure or, with `profile`, the profile."""
        read, write = os.pipe()
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(read)
                found = self.in_child(tests, profile, write)
                with os.fdopen(write, "w") as pipe:
                    json.dump(found, pipe)
                status = 0
            except BaseException:
                os.write(write, json.dumps({"failed": traceback.format_exc()}).encode())
            finally:
                os._exit(status)
        os.close(write)
        with os.fdopen(read) as pipe:
            answer = pipe.read()
        _, status = os.waitpid(child, 0)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # processes that the tests started
        try:
            return json.loads(answer.splitlines()[-1])
        except (IndexError, ValueError):
            return {"failed": answer or f"the process ended with status {status}"}

    def in_child(self, tests: list[str], profile: bool, write: int) -> dict[str, Any]:
        os.setpgid(0, 0)
        log = os.open("/dev/null" if not profile else "profile.log", os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 1)
        os.dup2(log, 2)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        sys.dont_write_bytecode = not profile
        os.environ["PYTHONDONTWRITEBYTECODE"] = "" if profile else "1"
        os.environ["PYTHONPATH"] = str(self.project)
        os.environ["MINIGRAD_PROFILE"] = "mutation"
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        sys.path[:0] = [str(self.project), str(self.project / "tests")]
        settings = dict(
            deadline=None, database=None, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck)
        )
        phases = [phase for phase in hypothesis.Phase if phase.name not in ("shrink", "explain")]
        hypothesis.settings.register_profile("mutation", max_examples=self.examples, phases=phases, **settings)
        assert "minigrad" not in sys.modules
        files = sorted({test.split("::")[0] for test in tests})
        plugin: Any = Profile(self.project) if profile else Chosen(tests, self.seconds, write)
        quick = ["-q", "-p", "no:cacheprovider", "-p", "no:faulthandler", "--tb=short", "--assert=plain"]
        code = pytest.main([*files, *quick], plugins=[plugin])
        return plugin.found() if profile else {"failed": f"pytest: {code!r}"}


def test_files(folders: list[str]) -> dict[str, str]:
    """The test files in these folders, without LEFT_OUT, each with a digest of its text."""
    paths = {path for folder in folders for path in [Path(folder), *Path(folder).rglob("test_*.py")] if path.is_file()}
    chosen = [path for path in paths if not str(path).startswith(LEFT_OUT)]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in chosen}


def forget(found: dict[str, Any], changed: Iterable[str]) -> None:
    """Remove the tests of changed files from a profile."""
    stale = {test for test in found["seconds"] if test.split("::")[0] in changed}
    found["failed"] = [test for test in found["failed"] if test not in stale]
    found["seconds"] = {test: seconds for test, seconds in found["seconds"].items() if test not in stale}
    for lines in found["through"].values():
        for line, tests in lines.items():
            lines[line] = [test for test in tests if test not in stale]


class Chosen:
    """A pytest plugin: runs only these tests, in this order, each with a time limit."""

    def __init__(self, tests: list[str], seconds: dict[str, float], write: int) -> None:
        self.place = {test: i for i, test in enumerate(tests)}
        self.seconds, self.write = seconds, write
        self.failed: str | None = None

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if len({item.nodeid for item in items} & self.place.keys()) < len(self.place):
            self.failed = "a test is missing"
        items[:] = sorted((i for i in items if i.nodeid in self.place), key=lambda item: self.place[item.nodeid])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        self.running = item.nodeid
        signal.signal(signal.SIGALRM, self.too_long)
        signal.setitimer(signal.ITIMER_REAL, 10 + 10 * self.seconds[item.nodeid])
        result = yield
        signal.setitimer(signal.ITIMER_REAL, 0)
        return result

    def too_long(self, *_: object) -> None:
        self.end(f"{self.running}: too long")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.end(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self.end(self.failed or (f"pytest ended with {exitstatus}" if exitstatus else None))

    def end(self, failed: str | None) -> None:
        """Report the failure and exit at once: the teardown takes longer than most tests."""
        os.write(self.write, json.dumps({"failed": failed}).encode())
        os.kill(os.getpid(), signal.SIGKILL)


class Profile:
    """A pytest plugin: measures how long each test takes, and which lines of minigrad it runs."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.cover = coverage.Coverage(source=[str(project / "minigrad")], data_file=None, config_file=False)
        self.cover.start()
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        self.cover.switch_context(item.nodeid)
        start = time.perf_counter()
        result = yield
        self.seconds[item.nodeid] = time.perf_counter() - start
        self.cover.switch_context("")
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def found(self) -> dict[str, Any]:
        self.cover.stop()
        data = self.cover.get_data()
        through = {
            str(Path(file).relative_to(self.project)): {
                str(line): [test for test in tests if test not in self.failed]
                for line, tests in data.contexts_by_lineno(file).items()
            }
            for file in data.measured_files()
        }
        own = ("minigrad", "helpers", *(path.stem for path in (self.project / "tests").rglob("*.py")))
        modules = [name for name in sys.modules if not name.startswith((*own, "__"))]
        return {"failed": self.failed, "seconds": self.seconds, "through": through, "modules": modules}


def statements(path: Path) -> dict[int, list[tuple[int, int]]]:
    """For each line the spans (first, last) of the statements that contain it, the innermost first."""
    spans: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            ends = {node.end_lineno or 0}
            if body and not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                ends.add(max(first, body[0].lineno - 1))  # of an `if`, the line of its condition
            for last in ends:
                for line in range(first, last + 1):
                    spans[line].append((first, last))
    return {line: sorted(each, key=lambda span: span[1] - span[0]) for line, each in spans.items()}
