"""The time of a training step in minigrad, hand-written NumPy, torch, JAX, MyGrad and autograd, in one run.

    python benchmarks/training_step.py                 the whole table, written to benchmarks/RESULTS.md
    python benchmarks/training_step.py --quick         fewer models, batches and rounds
    python benchmarks/training_step.py --backend cupy  the same on the CUDA device

Each engine runs in its own process. In each of many rounds every engine runs a few steps in turn, so that all are slow
or fast together. The microseconds are medians of single steps; a ratio is the median of the ratios within the rounds.
Engines that are not installed are listed as not run. A row is valid only if the accuracy after all steps equals that of
hand-written NumPy.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import operator
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from engines import ENGINES

HERE = Path(__file__).parent
MODELS = {
    "logistic": [784, 10],
    "32": [784, 32, 10],
    "128": [784, 128, 10],
    "256": [784, 256, 10],
    "256-128": [784, 256, 128, 10],
}
BIG = {"4096": [784, 4096, 10]}
STEPS = 10  # in one turn
SETTLE = 0.25  # seconds until the threads of the previous engine stop spinning
PACKAGES = ["numpy", "torch", "jax", "mygrad", "autograd", "cupy-cuda12x", "cupy-cuda13x"]


class EngineProcess:
    """An engine in its own process."""

    def __init__(self, backend: str, name: str, threads: int) -> None:
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1" if threads == 1 else ""
        path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "engine_process.py"), backend, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **limits, "XLA_FLAGS": flags, "PYTHONPATH": path},
        )

    def request(self, **message: Any) -> dict[str, Any]:
        """Send a request, return the reply. Raises RuntimeError with the last line of stderr if the process died."""
        assert self.process.stdin
        assert self.process.stdout
        assert self.process.stderr
        try:
            print(json.dumps(message), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            errors = self.process.stderr.read().strip().splitlines() or ["no message"]
            raise RuntimeError(errors[-1])
        return json.loads(line)


def measure(backend: str, sizes: list[int], batch: int, threads: int, rounds: int) -> dict[str, Any]:
    """Per engine: the seconds of its steps, its accuracy and peak memory; or the reason why it was not run."""
    results: dict[str, Any] = {}
    processes = []
    for name in ENGINES[backend]:
        process = EngineProcess(backend, name, threads)
        try:
            process.request(sizes=sizes, batch=batch)
            process.request(steps=2 * STEPS)  # warm-up: caches and compilers
        except RuntimeError as error:
            results[name] = str(error)
            continue
        processes.append(process)
        results[name] = []
    for _ in range(rounds):
        for process in processes:
            time.sleep(SETTLE if threads > 1 else 0)
            process.request(steps=1)  # warm-up: threads and caches
            results[process.name] += process.request(steps=STEPS)["seconds"]
    for process in processes:
        results[process.name] = {"seconds": results[process.name], **process.request(result=True)}
        assert process.process.stdin
        process.process.stdin.close()
        process.process.wait()
    return results


def ratio(seconds: list[float], others: list[float]) -> float:
    """The median, over all rounds, of the ratio of the median steps in that round."""
    turns, other_turns = (
        [statistics.median(s[i : i + STEPS]) for i in range(0, len(s), STEPS)] for s in (seconds, others)
    )
    return statistics.median(map(operator.truediv, turns, other_turns))


def table(results: dict[str, Any], hand: str) -> list[str]:
    """The rows of one table: median, interquartile range, ratios, memory, accuracy."""
    rows = [
        f"| engine | µs per step | interquartile range | / {hand} | / torch | peak MB | accuracy |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    seconds = {name: r["seconds"] for name, r in results.items() if isinstance(r, dict)}
    for name, result in results.items():
        if name not in seconds:
            rows.append(f"| {name} | not run: {result} | | | | | |")
            continue
        low, median, high = statistics.quantiles(seconds[name], n=4)
        to_hand = f"{ratio(seconds[name], seconds[hand]):.2f}" if hand in seconds else ""
        to_torch = f"{ratio(seconds[name], seconds['torch']):.2f}" if "torch" in seconds else ""
        valid = hand not in seconds or abs(result["accuracy"] - results[hand]["accuracy"]) < 0.005
        accuracy = f"{result['accuracy']:.3f}" + ("" if valid else " differs")
        rows.append(
            f"| {name} | {median * 1e6:.0f} | {low * 1e6:.0f} to {high * 1e6:.0f} | {to_hand} | {to_torch} "
            f"| {result['megabytes']:.0f} | {accuracy} |"
        )
    return rows


def machine() -> str:
    """The processor, the device, and the versions."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next((line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line), cpu)
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"{cpu}, {os.cpu_count()} cores; Python {platform.python_version()}, {', '.join(versions)}"


def replace_section(out: Path, heading: str, lines: list[str]) -> None:
    """Replace the section of the results with this heading."""
    sections = out.read_text(encoding="utf-8").split("\n## ") if out.exists() else ["# Results"]
    sections = [sections[0]] + [f"## {part}" for part in sections[1:]]
    sections = [part.rstrip() for part in sections if not part.startswith(heading)]
    out.write_text("\n\n".join([*sections, "\n".join(lines).rstrip()]) + "\n", encoding="utf-8")
    print(f"written to {out}")


def main() -> None:
    """Measure, print, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=list(ENGINES), default="numpy")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread settings (default 1 2)")
    parser.add_argument("--models", nargs="+", choices=[*MODELS, *BIG], help="hidden sizes (default all)")
    parser.add_argument("--batches", type=int, nargs="+", help="batch sizes (default 32 128 1024)")
    parser.add_argument("--rounds", type=int, default=40, help="rounds (default 40)")
    parser.add_argument("--quick", action="store_true", help="H = 32 and 128, batch 128, 10 rounds")
    parser.add_argument("--out", type=Path, help="the file to write (default RESULTS.md beside this file)")
    options = parser.parse_args()
    gpu = options.backend == "cupy"
    if gpu:
        from minigrad import backend

        try:
            backend.library("cuda")
        except backend.DeviceError as error:
            parser.exit(2, f"training_step.py: skipped, {error}\n")
    every = {**MODELS, **BIG} if gpu else MODELS
    models = options.models or (["32", "128"] if options.quick else list(every))
    batches = options.batches or ([128] if options.quick else [128, 4096] if gpu else [32, 128, 1024])
    rounds = 10 if options.quick else options.rounds
    hand = "cupy by hand" if gpu else "numpy by hand"
    command = "`python benchmarks/" + " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]) + "`"
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    for threads in [1] if gpu else options.threads:
        if cpus and not gpu:  # one CPU for all engines
            os.sched_setaffinity(0, {max(cpus)} if threads == 1 else cpus)
        title = f"## Training steps, {options.backend}" + ("" if gpu else f", {threads} thread{'s' * (threads > 1)}")
        lines = [f"{title}, {datetime.date.today()}", "", machine(), "", command, ""]
        for model in models:
            for batch in batches:
                results = measure(options.backend, {**MODELS, **BIG}[model], batch, threads, rounds)
                part = [f"### {model}, batch {batch}", "", *table(results, hand), ""]
                print("\n".join(part), flush=True)
                lines += part
        replace_section(options.out or HERE / "RESULTS.md", title, lines)


if __name__ == "__main__":
    main()
