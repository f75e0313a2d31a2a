"""What an engine costs where the arrays are small: per op, per depth, at import; and a whole epoch with loading.

    python benchmarks/overhead.py

All engines take turns in one run; the figures are medians and quotients of medians. Written to benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compare import HERE, machine, replace_section

Chain = Callable[[int], Callable[[], Any]]


def chain_of(package: str) -> Chain:
    """y = a b b b ...: forward and backward, one element, in minigrad or torch, whose names are the same."""

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
    """The median seconds of each, taking turns; the first tenth is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[rounds // 10 :]) for name, values in seconds.items()}


def chains() -> list[str]:
    """Cost per op against depth."""
    rows = ["| ops in a chain | " + " | ".join(f"{name}, µs an op" for name in CHAINS) + " | minigrad / torch |"]
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
    """Whole processes that import a package and end."""
    programs = {name: f"import {name}" for name in ("numpy", "minigrad", "torch", "mygrad", "autograd.numpy")}
    runs: dict[str, Callable[[], Any]] = {}
    for name, program in programs.items():
        command = [sys.executable, "-c", program]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            runs[name] = lambda command=command: subprocess.run(command, check=True)  # type: ignore[misc]
    median = in_turns(runs, 11)
    rows = ["| import | ms, whole process | / numpy |", "|---|---:|---:|"]
    return rows + [f"| {n} | {s * 1e3:.0f} | {s / median['numpy']:.2f} |" for n, s in median.items()]


def epochs() -> list[str]:
    """One epoch of 784-128-10 at batch 128 with loading: the article's program item by item, and ours."""
    import numpy as np
    import torch
    from torch.utils.data import DataLoader, Dataset

    import minigrad as mg
    from minigrad import data, nn, optim

    random = np.random.default_rng(0)
    images = random.integers(0, 256, (12_800, 28, 28), dtype=np.uint8)
    labels = random.integers(0, 10, 12_800)

    class Items(Dataset):  # type: ignore[type-arg]
        """What a torchvision dataset with ToTensor does for each item, without the image object in between."""

        def __len__(self) -> int:
            return len(labels)

        def __getitem__(self, i: int) -> Any:
            return torch.from_numpy(images[i]).unsqueeze(0).to(torch.float32).div(255), int(labels[i])

    ours_set = data.ImageDataset(mg.from_numpy(images), mg.from_numpy(labels))
    theirs = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(784, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)
    )
    ours = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    loaders: list[Any] = [DataLoader(Items(), 128, shuffle=True), data.DataLoader(ours_set, 128, shuffle=True)]
    optimizers: list[Any] = [torch.optim.SGD(theirs.parameters(), 0.1), optim.SGD(ours.parameters(), 0.1)]
    losses: list[Any] = [torch.nn.functional.cross_entropy, nn.functional.cross_entropy]

    def epoch(model: Any, loader: Any, optimizer: Any, loss: Any) -> Callable[[], None]:
        def run() -> None:
            for x, y in loader:
                loss(model(x), y).backward()
                optimizer.step()
                optimizer.zero_grad()

        return run

    runs = {
        name: epoch(model, loader, optimizer, loss)
        for name, model, loader, optimizer, loss in zip(
            ("torch", "minigrad"), (theirs, ours), loaders, optimizers, losses
        )
    }
    median = in_turns(runs, 7)
    return [
        "| an epoch of 12,800 images, H = 128, batch 128 | s |",
        "|---|---:|",
        f"| torch, DataLoader with ToTensor per item | {median['torch']:.3f} |",
        f"| minigrad {mg.__version__}, bytes gathered by batch | {median['minigrad']:.3f} |",
        f"| torch / minigrad | {median['torch'] / median['minigrad']:.1f} |",
    ]


def main() -> None:
    """Measure, print, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS.md", help="where the tables go")
    options = parser.parse_args()
    heading = "## Small arrays, import, and a whole epoch"
    lines = [f"{heading}, {datetime.date.today()}", "", machine(), "", "`python benchmarks/overhead.py`", ""]
    for part in (chains, imports, epochs):
        rows = part()
        print("\n".join(rows), flush=True)
        lines += [*rows, ""]
    replace_section(options.out, heading, lines)


if __name__ == "__main__":
    main()
