"""The search for a counterexample: hypothesis draws examples, and shrinks one that fails to a small one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, errors, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st

from .adapter import Engine
from .mismatch import Mismatch, Rejected, raised
from .op_cases import Call
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


def explore(function: Callable[[st.DataObject], None], seed: int, examples: int, *phases: Phase) -> None:
    """Call a function with the examples of hypothesis."""
    test = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
        print_blob=False,
    )(given(st.data())(function))
    with suppress(Counterexample, errors.Flaky):
        hypothesis_seed(seed)(test)()


def mismatch_of(check: Check, engine: Engine, draw: Callable[[Any], Any], part: str) -> Mismatch | None:
    """What is wrong with one example. Raises NotImplementedError or Rejected if there is nothing to judge."""
    try:
        check(engine, draw, part)
    except (NotImplementedError, Rejected):
        raise
    except Mismatch as error:
        return error
    except Exception as error:
        if type(error).__module__.startswith("hypothesis"):
            raise
        return Mismatch(part or "this check", "no exception", raised(error))
    return None


def search(check: Check, engine: Engine, part: str, seed: int, effort: Effort) -> PartResult:
    """Run a check on examples; the result has the smallest counterexample that was found."""
    smallest: Mismatch | None = None
    lacks: list[str] = []
    examples, stop = 0, time.monotonic() + effort.seconds

    def run(data: st.DataObject) -> None:
        nonlocal smallest, examples, stop
        if time.monotonic() > stop:
            return
        try:
            found = mismatch_of(check, engine, data.draw, part)
        except NotImplementedError as error:
            lacks.append(str(error))
            return
        except Rejected:
            return
        examples += 1
        if found is None:
            return
        if smallest is None:
            stop = time.monotonic() + effort.shrinking
        if smallest is None or (found.size, len(found.example)) < (smallest.size, len(smallest.example)):
            smallest = found
        raise Counterexample

    explore(run, seed, effort.examples, Phase.generate, Phase.shrink)
    if smallest is None:
        if examples == 0:
            return PartResult(part, "missing", lacks=lacks[0] or part if lacks else "an example that fits")
        return PartResult(part, "passed", examples)
    cause = smallest.cause
    if not cause and smallest.call and smallest.example.startswith("the gradient"):
        cause = cause_of_gradients(check, engine, part, smallest.call, seed)
    return PartResult(part, "failed", examples, "", smallest.example, smallest.expected, smallest.got, cause)


def cause_of_gradients(check: Check, engine: Engine, part: str, smallest: Call, seed: int) -> str:
    """The likely cause of wrong gradients, as most of the larger counterexamples show it: they have more structure."""
    calls = [smallest]

    def collect(data: st.DataObject) -> None:
        with suppress(NotImplementedError, Rejected):
            found = mismatch_of(check, engine, data.draw, part)
            if found and found.call:
                calls.append(found.call)

    explore(collect, seed, 20, Phase.generate)
    causes: Counter[str] = Counter()
    for call in sorted(calls, key=lambda call: -call.size)[:6]:
        with suppress(Exception):  # the engine may fail on the cotangents of the diagnosis
            causes[explain_gradient(engine, call)] += 1
    del causes[""]
    return causes.most_common(1)[0][0] if causes else ""
