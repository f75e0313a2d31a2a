"""The search for a counterexample: hypothesis draws examples, and shrinks one that fails to a small one."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, errors, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st

from .adapter import Engine
from .mismatch import Mismatch, Rejected, raised
from .op_check import explain_gradient

Check = Callable[[Engine, Callable[[Any], Any], str], None]  # check(engine, draw, part)


@dataclass(frozen=True)
class Effort:
    """How long the search for a counterexample of one part takes."""

    examples: int
    seconds: float  # no further examples after this time
    shrinking: float  # no further shrinking after this time


QUICK = Effort(examples=30, seconds=1.0, shrinking=1.0)
THOROUGH = Effort(examples=500, seconds=60.0, shrinking=20.0)


@dataclass
class PartResult:
    """What came of one part of a requirement.

    status    "passed", "failed" or "missing"
    lacks     what the engine lacks, if missing
    example, expected, got, cause    the counterexample, if failed
    """

    part: str
    status: str
    examples: int = 0
    lacks: str = ""
    example: str = ""
    expected: str = ""
    got: str = ""
    cause: str = ""


class Counterexample(Exception):
    """Makes hypothesis shrink."""


def search(check: Check, engine: Engine, part: str, seed: int, effort: Effort) -> PartResult:
    """Run a check on examples; the result has the smallest counterexample that was found."""
    smallest: Mismatch | None = None
    largest: Mismatch | None = None  # has more structure, and so a clearer cause
    lacks: list[str] = []
    examples, stop = 0, time.monotonic() + effort.seconds

    @hypothesis_seed(seed)
    @settings(
        max_examples=effort.examples,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(st.data())
    def run(data: st.DataObject) -> None:
        nonlocal smallest, largest, examples, stop
        if time.monotonic() > stop:
            return
        try:
            check(engine, data.draw, part)
        except NotImplementedError as error:
            lacks.append(str(error))
            return
        except Rejected:
            return
        except Mismatch as error:
            found = error
        except Exception as error:
            if isinstance(error, errors.HypothesisException) or type(error).__module__.startswith("hypothesis"):
                raise
            found = Mismatch(part or "this check", "no exception", raised(error))
        else:
            examples += 1
            return
        examples += 1
        if smallest is None:
            stop = time.monotonic() + effort.shrinking
        if smallest is None or (found.size, len(found.example)) < (smallest.size, len(smallest.example)):
            smallest = found
        if found.call and (largest is None or found.size > largest.size):
            largest = found
        raise Counterexample

    with suppress(Counterexample, errors.Flaky):
        run()
    if smallest is None:
        if examples == 0:
            return PartResult(part, "missing", lacks=lacks[0] or part if lacks else "an example that fits")
        return PartResult(part, "passed", examples)
    result = PartResult(part, "failed", examples, "", smallest.example, smallest.expected, smallest.got, smallest.cause)
    for found in (largest, smallest):
        if not result.cause and found and found.call and smallest.example.startswith("the gradient"):
            try:
                result.cause = explain_gradient(engine, found.call)
            except Exception:  # the engine fails on the cotangents of the diagnosis: there is none
                result.cause = ""
    return result
