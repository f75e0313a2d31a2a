"""The overhead of an engine: per op on small arrays, by depth of the graph, at import; and a whole epoch with loading.

    python benchmarks/small_ops.py --data-dir FOLDER        FOLDER contains MNIST/raw

The engines run in turn; the figures are medians and ratios of medians. Written to benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training_step import HERE, machine, replace_section

Chain = Callable[[int], Callable[[], Any]]


def chain_of(package: str) -> Chain:
    """y = a b b b ...: forward and backward of one element, in minigrad or torch."""

    def make(length: int) -> Callable[[], Any]:
        library = importlib.import_module(package)
        a, b = library.tensor([1.5], requires_grad=True), library.tensor([0.999])

        def run() -> None:
            y = a
            for _ in range(length):
                y = y * b
            y.backward()
            a.grad = None

        return run

    return make


def mygrad_chain(length: int) -> Callable[[], Any]:
    """The same in MyGrad."""
    import mygrad

    mygrad.turn_memory_guarding_off()
    a, b = mygrad.tensor([1.5]), mygrad.tensor([0.999], constant=True)

    def run() -> None:
        y = a
        for _ in range(length):
            y = y * b
        y.backward()
        a.null_grad()

    return run


def autograd_chain(length: int) -> Callable[[], Any]:
    """The same in autograd."""
    import numpy as np
    from autograd import grad

    b = np.array([0.999], dtype="float32")

    def chain(a: Any) -> Any:
        y = a
        for _ in range(length):
            y = y * b
        return y[0]

    gradient, a = grad(chain), np.array([1.5], dtype="float32")
    return lambda: gradient(a)


CHAINS: dict[str, Chain] = {
    "minigrad": chain_of("minigrad"),
    "torch": chain_of("torch"),
    "mygrad": mygrad_chain,
    "autograd": autograd_chain,
}


def in_turns(runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """The median seconds of each, run in turn; the first tenth is warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[rounds // 10 :]) for name, values in seconds.items()}


def chains() -> list[str]:
    """Cost per op, by depth."""
    rows = ["| ops in a chain | " + " | ".join(f"{name}, µs per op" for name in CHAINS) + " | minigrad / torch |"]
    rows.append("|---:|" + "---:|" * (len(CHAINS) + 1))
    for length, rounds in ((1, 5000), (10, 2000), (50, 600), (1000, 30), (10_000, 5), (100_000, 3)):
        names = [name for name in CHAINS if length <= 1000 or name in ("minigrad", "torch")]
        runs = {}
        for name in names:
            try:
                runs[name] = CHAINS[name](length)
                runs[name]()
            except (ImportError, RecursionError):
                runs.pop(name, None)
        median = in_turns(runs, rounds)
        cells = [f"{median[name] / length * 1e6:.2f}" if name in median else "" for name in CHAINS]
        ratio = f"{median['minigrad'] / median['torch']:.2f}" if "torch" in median else ""
        rows.append(f"| {length:,} | " + " | ".join(cells) + f" | {ratio} |")
    return rows


def imports() -> list[str]:
    """Processes that import a package and exit."""
    programs = {name: f"import {name}" for name in ("numpy", "minigrad", "torch", "mygrad", "autograd.numpy")}
    runs: dict[str, Callable[[], Any]] = {}
    for name, program in programs.items():
        command = [sys.executable, "-c", program]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            runs[name] = lambda command=command: subprocess.run(command, check=True)  # type: ignore[misc]
    median = in_turns(runs, 11)
    rows = ["| import | ms, whole process | / numpy |", "|---|---:|---:|"]
    return rows + [f"| {n} | {s * 1e3:.0f} | {s / median['numpy']:.2f} |" for n, s in median.items()]


def epochs(data_dir: Path, threads: int, rounds: int = 3) -> list[str]:
    """Epochs of epoch.py, 784-128-10 with a batch size of 128, with data loading, each in its own process."""
    heading = f"| an epoch of MNIST with loading, {threads} thread{'s' * (threads > 1)}"
    rows = [f"{heading} | s | test accuracy | peak MB |", "|---|---:|---:|---:|"]
    if not (data_dir / "MNIST" / "raw").is_dir():
        return [*rows, f"| not run: no MNIST in {data_dir}, use --data-dir | | | |"]
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
    results: dict[str, list[Any]] = {"torch": [], "minigrad": []}
    for _ in range(rounds):
        for engine, found in results.items():
            command = [sys.executable, str(HERE / "epoch.py"), engine, "--data-dir", str(data_dir)]
            run = subprocess.run(
                command, capture_output=True, text=True, env={**os.environ, **limits, "PYTHONPATH": path}
            )
            if run.returncode:
                return [*rows, f"| {engine} not run: {run.stderr.strip().splitlines()[-1]} | | | |"]
            found.append(json.loads(run.stdout))
    seconds = {name: statistics.median(run["seconds"][0] for run in found) for name, found in results.items()}
    peak = {name: max(run["megabytes"] for run in found) for name, found in results.items()}
    for name, found in results.items():
        rows.append(f"| {name} | {seconds[name]:.2f} | {found[0]['accuracy']:.3f} | {peak[name]:.0f} |")
    ratios = [f"{of['torch'] / of['minigrad']:.1f}" for of in (seconds, peak)]
    return [*rows, f"| torch / minigrad | {ratios[0]} | | {ratios[1]} |"]


def main() -> None:
    """Measure, print, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data_dir = Path(os.environ.get("MINIGRAD_DATA", "data"))
    parser.add_argument("--data-dir", type=Path, default=data_dir, help="the folder that contains MNIST/raw")
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS.md", help="the file to write")
    options = parser.parse_args()
    heading = "## Small arrays, import, and a whole epoch"
    lines = [
        f"{heading}, {datetime.date.today()}",
        "",
        machine(),
        "",
        "`python benchmarks/small_ops.py --data-dir FOLDER`",
        "",
    ]
    for part in (chains, imports, lambda: epochs(options.data_dir, 1), lambda: epochs(options.data_dir, 2)):
        rows = part()
        print("\n".join(rows), flush=True)
        lines += [*rows, ""]
    replace_section(options.out, heading, lines)


if __name__ == "__main__":
    main()
