"""`python -m minigrad check --engine my_engine.py`"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, NoReturn


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the check of an engine."""
    group = parser.add_argument_group("to check another engine")
    group.add_argument(
        "--engine", metavar="FILE", help="a Python file with an adapter, see minigrad.testing.conformance"
    )
    group.add_argument("--level", nargs="+", default=[], metavar="LEVEL", help="only these levels (default: all)")
    group.add_argument("--json", action="store_true", help="print the report as JSON")
    group.add_argument("--seed", type=int, help="of the examples (default: 0)")
    group.add_argument("--thorough", action="store_true", help="try more examples, for some minutes")


def wrong_options(args: argparse.Namespace, own: Mapping[str, Any]) -> str:
    """What is wrong with options that do not go together; `own`: the defaults of those of minigrad's own check."""
    if args.engine is None:
        given = [name for name in ("level", "json", "seed", "thorough") if getattr(args, name) not in (None, False, [])]
        return f"--{given[0]}: needs --engine FILE" if given else ""
    given = [name for name, default in own.items() if getattr(args, name) != default]
    return f"--{given[0]}: is for minigrad's own check; leave it out with --engine" if given else ""


def check_engine(args: argparse.Namespace, error: Callable[[str], NoReturn]) -> int:
    """Print the report on an engine; 1 if a requirement is not met."""
    if find_spec("hypothesis") is None:
        error("--engine: needs hypothesis; run: python -m pip install hypothesis")
    from .contained import EngineProcess
    from .loading import AdapterError
    from .report import Report, Result, chosen_requirements
    from .requirements import LEVELS

    unknown = [level for level in args.level if level not in LEVELS]
    if unknown:
        error(f"--level: expected {', '.join(LEVELS)}, got {', '.join(unknown)}")
    results = []
    try:
        with EngineProcess(args.engine, args.seed or 0, args.thorough) as engine:
            for requirement in chosen_requirements(args.level):
                if sys.stderr.isatty():
                    print(f"\r{requirement.id:50}", end="", file=sys.stderr, flush=True)
                results.append(Result(requirement, engine.run(requirement)))
    except AdapterError as problem:
        error(str(problem))
    if sys.stderr.isatty():
        print(f"\r{'':50}\r", end="", file=sys.stderr, flush=True)
    report = Report(engine.name, args.seed or 0, results)
    print(json.dumps(report.as_dict(), indent=2, ensure_ascii=False) if args.json else report)
    return 0 if report.passed else 1
