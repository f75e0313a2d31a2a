"""Mutation testing of minigrad: which changes of its code do the tests not see?

    pip install cosmic-ray coverage
    python tests/mutation/run.py                                 the whole package: about two hours on one core
    python tests/mutation/run.py --only minigrad/autograd/op.py           one file, or several
    python tests/mutation/run.py --examples 100 --survivors      those that live, again, with more examples

Cosmic Ray makes the mutants, keeps them and their results in a session file, and this program runs the tests in a fast
way. It works on a copy of the project. It has loaded torch, hypothesis and pytest, but not minigrad; for each mutant it
forks, and the child imports the mutated package and runs pytest. Which tests a mutant meets is known from a first run
under coverage: those that came through its line, the ones that killed most before and the quickest first, until one
fails. A mutant lives if all pass. The exit code is 1 if fewer than 95 % are killed, or a survivor is not explained in
survivors.md.
"""

from __future__ import annotations

# ruff: noqa: E402
import os

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"  # forked after the start of threads, a process would hang

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
from report import report, strangers

HERE = Path(__file__).resolve().parent
EXPLAINED = HERE / "survivors.md"
PROJECT = HERE.parent.parent
# The engine first: what everything stands on.
ORDER = ("op.py", "tensor.py", "ops", "methods.py", "inplace.py", "grad_mode.py", "nn", "optim", "gradcheck")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="FILE", help="mutate these files only")
    parser.add_argument("--session", type=Path, default=Path("mutation.sqlite"), help="goes on where it was left")
    parser.add_argument("--examples", type=int, default=10, help="of hypothesis, for each test")
    parser.add_argument("--survivors", action="store_true", help="run those again that live without an explanation")
    parser.add_argument("--seconds", type=float, default=1e9, help="of tests for each mutant, the quickest first")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many; call again to go on")
    parser.add_argument("--report", action="store_true", help="only tell what the session file holds")
    args = parser.parse_args()
    session = args.session.resolve()
    with use_db(session) as db:
        if not args.report:
            with copy_of_project() as copy:
                os.chdir(copy)
                config = load_config(HERE / "cosmic-ray.toml")
                if not db.num_work_items:
                    prepare(db, config)
                work = [item for item, _ in strangers(db, EXPLAINED)] if args.survivors else db.pending_work_items
                run(
                    db,
                    in_order(work, args.only),
                    Suite(copy, args.examples, args.seconds, session.with_suffix(".json")),
                    args.minutes,
                )
        return report(db, args.only, EXPLAINED)


@contextlib.contextmanager
def copy_of_project() -> Iterator[Path]:
    """The project without what is not needed, in a folder that goes afterwards."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder) / "project"
        shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "benchmarks", "*.sqlite"))
        yield copy


def prepare(db: WorkDB, config: ConfigDict) -> None:
    """Enter all mutants into the session, the uninformative ones as skipped."""
    modules = filter_paths(find_modules([Path(config["module-path"])]), config["excluded-modules"])
    init(sorted(modules), db, {})
    skip_uninformative(db, config)


def in_order(work: Sequence[WorkItem], only: list[str]) -> list[WorkItem]:
    """The mutants to run, file by file, the engine first."""

    def key(item: WorkItem) -> tuple[int, str, tuple[int, int]]:
        mutation = item.mutations[0]
        part = mutation.module_path.parts[1]
        place = ORDER.index(part) if part in ORDER else len(ORDER) + (part == "check.py")
        return place, str(mutation.module_path), mutation.start_pos

    chosen = [item for item in work if not only or str(item.mutations[0].module_path) in only]
    return sorted(chosen, key=key)


def run(db: WorkDB, work: list[WorkItem], suite: Suite, minutes: float) -> None:
    """Run the tests against each mutant and note the results."""
    start = time.monotonic()
    for i, item in enumerate(work, 1):
        if time.monotonic() - start > 60 * minutes:
            break
        mutation = item.mutations[0]
        mutating.run_tests = lambda command, timeout, mutation=mutation: suite.run(mutation)
        unchanged = mutation.module_path.stat()
        result = mutating.mutate_and_test(item.mutations, "", 0)
        # The old time again, so that Python takes the compiled file it has.
        os.utime(mutation.module_path, ns=(unchanged.st_atime_ns, unchanged.st_mtime_ns))
        db.set_result(item.job_id, result)
        if i % 10 == 0 or result.test_outcome == TestOutcome.SURVIVED:
            left = (time.monotonic() - start) / i * (len(work) - i)
            word = f"{mutation.module_path}:{mutation.start_pos[0]} {result.test_outcome}"
            print(f"{i} of {len(work)}, {left / 60:.0f} min left: {word}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
