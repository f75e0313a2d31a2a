"""Checks every engine in benchmarks/adapters, and writes benchmarks/CONFORMANCE.md.

    python -m pip install -e ".[bench,conformance]" dezero micrograd tinygrad
    python benchmarks/conformance.py --out benchmarks/CONFORMANCE.md

An engine that is not installed is left out by name.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from pathlib import Path

import numpy as np

from minigrad.testing.conformance.contained import EngineProcess
from minigrad.testing.conformance.loading import AdapterError
from minigrad.testing.conformance.report import Report, Result, chosen_requirements
from minigrad.testing.conformance.requirements import LEVELS

PATIENCE = 120.0  # seconds for one part
ADAPTERS = Path(__file__).parent / "adapters"
ORDER = ["minigrad", "torch", "jax", "autograd", "mygrad", "tinygrad", "dezero", "micrograd"]

INTRODUCTION = f"""# Engines and the requirements

The checks of `python -m minigrad check --engine FILE`, run on known engines through the adapters in
[benchmarks/adapters](adapters). A requirement has several parts, for example one for each op; a cell counts parts that
are met / not met, and those that the engine does not have. They are not counted against it.

A requirement that is not met is a place where the engine differs from what
[the table of requirements](../minigrad/testing/conformance/requirements.py) asks for. That can be a mistake, a limit,
or a decision: an engine may leave out a guard for the sake of speed or of short code, and say so. Where we know of a
decision, it is noted. Expected values are those of the formulas in extended precision. This page says nothing about
speed, nor about what an engine is made for. Corrections are welcome.

Two requirements depend on the machine: threads (a race does not show in every run) and deep graphs ({PATIENCE:g} s are
allowed).
"""

NOTES = {
    ("torch", "network/dtypes of labels"): "Documented: the target has to be int64 or uint8.",
    ("jax", "numbers/extremes"): "The VJP multiplies by y⁻², which is beyond the range of float64 here.",
    ("autograd", "numbers/extremes"): "The VJP of / divides by y², that of `prod` by x.",
    ("mygrad", "scalars/a second backward"): "Documented: a backward pass clears its graph.",
    ("mygrad", "training/accumulation"): "Documented: gradients are cleared when a tensor is used again.",
    ("mygrad", "numbers/ties"): "A decision: at a tie neither argument gets a gradient.",
    ("mygrad", "network/the label contract"): "Labels are NumPy indices.",
    ("tinygrad", "scalars/deep graphs"): "On the device PYTHON, which interprets each kernel; others are faster.",
    ("tinygrad", "engine/changes in place"): "Evaluation is lazy: y is computed from the new value, too.",
    ("dezero", "network/losses"): "Its mean squared error divides by the number of rows.",
    ("dezero", "engine/changes in place"): "The engine of a book: version counters are left out.",
    ("dezero", "network/the label contract"): "Labels are NumPy indices.",
    ("dezero", "engine/threads"): "The mode of `no_grad` is global, and the backward pass sets it.",
    ("micrograd", "engine/changes in place"): "About 100 lines, written to be read: there are no versions.",
    ("micrograd", "scalars/deep graphs"): "About 100 lines, written to be read: the sort is recursive.",
}


def check(file: Path) -> Report:
    """The report on an engine."""
    with EngineProcess(str(file), patience=PATIENCE) as engine:
        results = [Result(requirement, engine.run(requirement)) for requirement in chosen_requirements()]
    return Report(engine.name, 0, results)


def cell(report: Report, level: str) -> str:
    """Parts met / not met, and missing ones in parentheses."""
    results = [result for result in report.results if result.requirement.level == level]
    passed, failed, missing = (sum(len(r.of(status)) for r in results) for status in ("passed", "failed", "missing"))
    return f"{passed} / {failed}" + f" ({missing})" * bool(missing) if passed + failed else f"({missing})"


def section(name: str, report: Report) -> list[str]:
    """The requirements that an engine does not meet, with counterexamples."""
    lines = [f"## {report.engine}", ""]
    failed = [result for result in report.results if result.status == "failed"]
    if not failed:
        return [*lines, "All requirements of the parts that it has are met.", ""]
    for result in failed:
        note = NOTES.get((name, result.requirement.id), "")
        lines += [f"**{result.requirement.id}**: {result.requirement.why}", ""]
        lines += [f"Note: {note}", ""] if note else []
        lines += ["```text", *"\n".join(result.failures()).splitlines(), "```", ""]
    return lines


def main() -> None:
    """Check the engines, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="the page (default: print it)")
    parser.add_argument("--engines", nargs="+", default=ORDER, choices=ORDER, help="(default: all)")
    args = parser.parse_args()
    reports: dict[str, Report] = {}
    absent = []
    for name in args.engines:
        start = time.perf_counter()
        try:
            reports[name] = check(ADAPTERS / f"{name}_adapter.py")
        except AdapterError as error:
            absent.append(f"{name}: {str(error).rpartition('cannot be imported: ')[2]}")
            continue
        print(f"{reports[name].engine}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    versions = f"Python {platform.python_version()}, numpy {np.__version__}, seed 0, {time.strftime('%Y-%m-%d')}"
    page = [INTRODUCTION, "`python benchmarks/conformance.py --out benchmarks/CONFORMANCE.md`", "", versions, ""]
    page += [f"| | {' | '.join(LEVELS)} |", "|---|" + "---:|" * len(LEVELS)]
    for report in reports.values():
        page.append(f"| {report.engine} | {' | '.join(cell(report, level) for level in LEVELS)} |")
    page += ["", *(f"Not checked: {line}" for line in absent), *[""] * bool(absent)]
    for name, report in reports.items():
        page += section(name, report)
    text = "\n".join(page).rstrip() + "\n"
    if args.out:
        args.out.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
