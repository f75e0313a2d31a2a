"""Mutation testing of minigrad: which changes to its code do the tests not detect?

    pip install -e ".[mutation]"
    python tests/mutation/run.py                                            the whole package: some hours on one core
    python tests/mutation/run.py --only minigrad/autograd/op.py             one file, or several
    python tests/mutation/run.py --only minigrad/optim/optimizers.py --tests tests/optim   against these tests only
    python tests/mutation/run.py --survivors --examples 100                 unexplained survivors, with more examples

Cosmic Ray makes the mutants and stores them with their results in a session file; this program runs the tests fast. It
works on a copy of the project. The process has imported torch, hypothesis and pytest, but not minigrad. For each mutant
it forks, and the child imports the mutated package and runs pytest. A first run under coverage shows which tests run
the mutated line. These are run until one fails, first those that killed most mutants of the file, then the quickest. A
mutant survives if all pass. The exit code is 1 if fewer than 95 % are killed, or if survivors.md lacks a survivor.
"""

from __future__ import annotations

# ruff: noqa: E402
import os

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"  # a process that forks after starting threads would hang

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cosmic_ray import mutating
from cosmic_ray.commands.init import init
from cosmic_ray.config import ConfigDict, load_config
from cosmic_ray.modules import filter_paths, find_modules
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkItem
from filter import skip_uninformative
from fork_runner import Suite
from report import report, unexplained

HERE = Path(__file__).resolve().parent
SURVIVORS = HERE / "survivors.md"
PROJECT = HERE.parent.parent
# The engine first: everything depends on it.
ORDER = (
    "autograd/graph.py",
    "autograd/op.py",
    "autograd/arguments.py",
    "autograd/tensor.py",
    "autograd/",
    "ops/",
    "nn/functional.py",
    "nn/",
    "optim",
    "testing/",
    "jit/",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="FILE", help="mutate these files only")
    parser.add_argument(
        "--session", type=Path, default=Path("mutation.sqlite"), help="the session file; a run continues it"
    )
    parser.add_argument("--examples", type=int, default=10, help="examples of hypothesis for each test")
    parser.add_argument("--tests", nargs="+", default=["tests"], metavar="PATH", help="run only these tests")
    parser.add_argument("--survivors", action="store_true", help="repeat the unexplained survivors")
    parser.add_argument("--seconds", type=float, default=1e9, help="of tests for each mutant")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop then; the next run continues")
    parser.add_argument("--report", action="store_true", help="print the results so far")
    args = parser.parse_args()
    session = args.session.resolve()
    with use_db(session) as db:
        if not args.report:
            with copy_of_project() as copy:
                os.chdir(copy)
                config = load_config(HERE / "cosmic-ray.toml")
                if not db.num_work_items:
                    prepare(db, config)
                work = [item for item, _ in unexplained(db, SURVIVORS)] if args.survivors else db.pending_work_items
                suite = Suite(copy, args.examples, args.seconds, session.with_suffix(".json"), args.tests)
                run(db, in_order(work, args.only), suite, args.minutes)
        return report(db, args.only, SURVIVORS)


@contextlib.contextmanager
def copy_of_project() -> Iterator[Path]:
    """A temporary copy of the project, without what the tests do not need."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder) / "project"
        shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "benchmarks", "*.sqlite"))
        yield copy


def prepare(db: WorkDB, config: ConfigDict) -> None:
    """Store all mutants in the session, the uninformative ones as skipped."""
    modules = filter_paths(find_modules([Path(config["module-path"])]), config["excluded-modules"])
    init(sorted(modules), db, {})
    skip_uninformative(db, config)


def in_order(work: Sequence[WorkItem], only: list[str]) -> list[WorkItem]:
    """The mutants to run, file by file, the engine first."""

    def key(item: WorkItem) -> tuple[int, str, tuple[int, int]]:
        mutation = item.mutations[0]
        path = mutation.module_path.relative_to("minigrad").as_posix()
        place = next((i for i, prefix in enumerate(ORDER) if path.startswith(prefix)), len(ORDER))
        return place, path, mutation.start_pos

    chosen = [item for item in work if not only or str(item.mutations[0].module_path) in only]
    return sorted(chosen, key=key)


def run(db: WorkDB, work: list[WorkItem], suite: Suite, minutes: float) -> None:
    """Run the tests against each mutant and store the results."""
    start = time.monotonic()
    for i, item in enumerate(work, 1):
        if time.monotonic() - start > 60 * minutes:
            break
        mutation = item.mutations[0]
        mutating.run_tests = lambda command, timeout, mutation=mutation: suite.run(mutation)
        unchanged = mutation.module_path.stat()
        result = mutating.mutate_and_test(item.mutations, "", 0)
        # Restore the time of the file, so that Python uses the compiled file again.
        os.utime(mutation.module_path, ns=(unchanged.st_atime_ns, unchanged.st_mtime_ns))
        db.set_result(item.job_id, result)
        if i % 10 == 0 or result.test_outcome == TestOutcome.SURVIVED:
            left = (time.monotonic() - start) / i * (len(work) - i)
            word = f"{mutation.module_path}:{mutation.start_pos[0]} {result.test_outcome}"
            print(f"{i} of {len(work)}, {left / 60:.0f} min left: {word}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
