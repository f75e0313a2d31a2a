"""`python -m minigrad check` tests this installation; `python -m minigrad info` prints versions and devices."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from typing import NoReturn

from . import __version__, backend
from .autograd.methods import OPS
from .testing.conformance.command import add_options, check_engine, wrong_options

DEVICES = {"numpy": "cpu", "cupy": "cuda"}


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with an option, and exits with 2."""

    def error(self, message: str) -> NoReturn:
        """Say it and exit."""
        self.exit(2, f"{self.prog}: {message}\n")


def check(args: argparse.Namespace) -> int:
    """Print the table of ops; 1 if one is wrong. With --engine, the report on that engine."""
    wrong = wrong_options(args, {"backend": "numpy", "ops": [], "dtype": ["float32", "float64"]})
    if wrong:
        args.error(wrong)
    if args.engine is not None:
        return check_engine(args, args.error)
    from .testing.selftest import LIMIT, SIDES, check_ops

    dtypes = [backend.dtype_of(name) for name in dict.fromkeys(args.dtype)]
    device = backend.library(DEVICES[args.backend]).device
    names = list(dict.fromkeys(args.ops)) or list(OPS)
    width = max(len("op"), *map(len, names))
    print(f"minigrad {__version__} on {args.backend} ({device}): worst errors in units in the last place (ulp)\n")
    print(f"{'':{width}}" + "".join(f"{dtype!s:>20}" for dtype in dtypes))
    print(f"{'op':{width}}" + "".join(f"{side:>10}" for side in SIDES) * len(dtypes) + "  verdict")
    failed = []
    for row in check_ops(names, dtypes, device):
        errors = "".join(f"{row.errors[str(dtype), side]:10.3g}" for dtype in dtypes for side in SIDES)
        print(f"{row.name:{width}}{errors}  {row.verdict}", flush=True)
        if not row.passed:
            failed.append(row.name)
    if failed:
        print(f"\nFAILED: {len(failed)} of {len(names)} ops: {', '.join(failed)}")
        return 1
    print(f"\nall {len(names)} ops are right: no error beyond {LIMIT} ulp")
    return 0


def info(args: argparse.Namespace) -> int:
    """Print versions and devices."""
    print(f"minigrad  {__version__}  {__file__.rpartition('__main__')[0]}")
    print(f"Python    {platform.python_version()}  {sys.executable}")
    print(f"system    {platform.platform()}")
    for name in DEVICES:
        print(f"{name:8}  {state(name)}")
    return 0


def state(name: str) -> str:
    """The version and device of an array library, or why it cannot be used."""
    try:
        library = backend.library(DEVICES[name])
    except backend.DeviceError as error:
        return f"not usable: {error}"
    return f"{library.xp.__version__}, device {library.device}: ready"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code: 0, or 1 where a check failed, or 2 for an option that will not do."""
    parser = Parser(prog="python -m minigrad", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="check | info")
    checking = commands.add_parser("check", help="check every op's value and gradient", description=check.__doc__)
    checking.add_argument("--backend", choices=DEVICES, default="numpy", help="where to run (default: numpy)")
    checking.add_argument("--ops", nargs="+", default=[], metavar="NAME", help="which ops (default: all)")
    checking.add_argument(
        "--dtype", nargs="+", default=["float32", "float64"], choices=["float32", "float64"], help="(default: both)"
    )
    add_options(checking)
    checking.set_defaults(run=check, error=checking.error)
    commands.add_parser("info", help="versions and devices", description=info.__doc__).set_defaults(run=info)
    args = parser.parse_args(argv)
    unknown = [name for name in getattr(args, "ops", []) if name not in OPS]
    if unknown:
        parser.error(f"--ops: no op named {', '.join(unknown)}; there are {', '.join(sorted(OPS))}")
    try:
        return args.run(args)
    except backend.DeviceError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
