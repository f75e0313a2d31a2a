"""Tests in a fork of this process, which has loaded all that they need but minigrad."""

from __future__ import annotations

import ast
import gc
import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections import Counter, defaultdict
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

# Left out: tests of the tests, of the words of the source, of endurance, and of programs, pages and notebooks.
LEFT_OUT = {
    "faults",
    "house",
    "endurance",
    "viz",
    "player_browser",
    "examples",
    "resume",
    "article",
    "readme",
    "course",
}
FIRST = 30  # so many tests in the first fork, which meets most of the mutants for the last time
ENOUGH = 8 << 30  # bytes of memory that a mutant may ask for beyond what this process has


class Suite:
    """The tests of a copy of the project: which of them come through a line, how long each takes."""

    def __init__(self, project: Path, examples: int, limit: float, known: Path) -> None:
        self.project, self.examples, self.limit = project, examples, limit
        self.kills: dict[str, Counter[str]] = defaultdict(Counter)  # of each file, which test killed how many
        found = json.loads(known.read_text()) if known.exists() else {"failed": [], "seconds": {}, "through": {}}
        profiled = {test.split("::")[0] for test in found["seconds"]}
        files = {str(path) for path in Path("tests").glob("test_*.py") if path.stem[5:] not in LEFT_OUT}
        if files - profiled:
            print("first the tests without a mutant: which comes through which line", flush=True)
            more = self.fork(sorted(files - profiled), profile=True)
            if "through" not in more:
                raise SystemExit(f"the tests do not run: {more['failed']}")
            found["failed"] += more["failed"]
            found["modules"] = sorted({*found.get("modules", []), *more["modules"]})
            found["seconds"].update(more["seconds"])
            for file, lines in more["through"].items():
                for line, tests in lines.items():
                    found["through"].setdefault(file, {}).setdefault(line, []).extend(tests)
            known.write_text(json.dumps(found))
        if found["failed"]:
            print("these fail without a mutant, and are left out:", *found["failed"])
        for module in found["modules"]:
            with suppress(Exception):
                importlib.import_module(module)
        gc.collect()
        gc.freeze()  # the children need not look through all that
        self.seconds: dict[str, float] = found["seconds"]
        self.through: dict[str, dict[str, list[str]]] = found["through"]
        self.lines = {path: statements(project / path) for path in self.through}

    def run(self, mutation: MutationSpec) -> tuple[TestOutcome, str]:
        """Whether the tests that come through the mutated line see it."""
        file = str(mutation.module_path)
        kills = self.kills[file]
        tests: list[str] = []
        for tier in self.meeting(file, mutation.start_pos[0]):
            seen: Counter[str] = Counter()  # a test with many parameters lets the others go between
            place = {}
            for test in sorted(tier.difference(tests), key=self.seconds.__getitem__):
                seen[test.split("[")[0]] += 1
                place[test] = seen[test.split("[")[0]], self.seconds[test]
            tests += sorted(place, key=place.__getitem__)
        tests.sort(key=lambda test: -kills[test])
        whole = accumulate(self.seconds[test] for test in tests)
        tests = [test for test, sum_so_far in zip(tests, whole) if sum_so_far <= self.limit]
        for part in (tests[:FIRST], tests[FIRST:]):
            found = self.fork(part) if part else {}
            if found.get("failed"):
                kills[found["failed"]] += 1
                return TestOutcome.KILLED, found["failed"]
        return TestOutcome.SURVIVED, f"{len(tests)} tests passed"

    def meeting(self, file: str, line: int) -> list[set[str]]:
        """The tests that come through the statement of a line; if it runs at the import, then those of its function,
        and those of the file."""
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
        """Run these tests, or all with their profile, in a child; what failed first, and the profile."""
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
            os.killpg(child, signal.SIGKILL)  # what the tests started
        try:
            return json.loads(answer.splitlines()[-1])
        except (IndexError, ValueError):
            return {"failed": answer or f"the process ended with status {status}"}

    def in_child(self, tests: list[str], profile: bool, write: int) -> dict[str, Any]:
        os.setpgid(0, 0)
        nowhere = os.open("/dev/null" if not profile else "profile.log", os.O_WRONLY | os.O_CREAT)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + ENOUGH, used + ENOUGH))
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


class Chosen:
    """A plugin of pytest: only these tests, in their order, each with a limit of time."""

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
        """Tell what failed and end at once: tidying up takes longer than most tests."""
        os.write(self.write, json.dumps({"failed": failed}).encode())
        os.kill(os.getpid(), signal.SIGKILL)


class Profile:
    """A plugin of pytest: how long each test takes, and through which lines of minigrad it comes."""

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
        own = ("minigrad", *(path.stem for path in (self.project / "tests").glob("*.py")))
        modules = [name for name in sys.modules if not name.startswith((*own, "__"))]
        return {"failed": self.failed, "seconds": self.seconds, "through": through, "modules": modules}


def statements(path: Path) -> dict[int, list[tuple[int, int]]]:
    """For each line, from where to where the statements go that it belongs to, from the inside out."""
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
