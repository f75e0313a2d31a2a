"""An epoch of an MLP with one hidden layer on MNIST, on torch or on minigrad: one program, only the imports differ.

    python benchmarks/epoch.py torch --data-dir FOLDER        FOLDER contains MNIST/raw
    python benchmarks/epoch.py minigrad --data-dir FOLDER

Prints one JSON line: the seconds of each epoch of training, with data loading, the accuracy on the test set at the end,
and the peak memory of the process.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any


def torch_names(root: Path) -> tuple[Any, ...]:
    """The modules and the two datasets of a PyTorch program."""
    import torch
    from torch.utils.data import DataLoader

    try:
        import torchvision
    except RuntimeError:  # beside a CPU build of torch two schemas may be missing: pytorch/vision issue 8985
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torch_names.library = library  # type: ignore[attr-defined] # its definitions live as long as it does
        import torchvision
    to_tensor = torchvision.transforms.ToTensor()
    with tempfile.TemporaryDirectory() as unpacked:  # torchvision reads only unpacked files, and loads them whole
        raw = Path(unpacked) / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for file in (root / "MNIST" / "raw").glob("*-ubyte.gz"):
            with gzip.open(file) as packed, open(raw / file.stem, "wb") as plain:
                shutil.copyfileobj(packed, plain)
        sets = [torchvision.datasets.MNIST(unpacked, train=train, transform=to_tensor) for train in (True, False)]
    return torch, torch.nn, torch.nn.functional, torch.optim, DataLoader, *sets


def minigrad_names(root: Path) -> tuple[Any, ...]:
    """The same names from minigrad."""
    import minigrad
    from minigrad import data, nn, optim
    from minigrad.nn import functional

    sets = [data.MNIST(root, train=train) for train in (True, False)]
    return minigrad, nn, functional, optim, data.DataLoader, *sets


def main() -> None:
    """Train, test, and print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=["torch", "minigrad"])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args()
    names = torch_names if options.engine == "torch" else minigrad_names
    torch, nn, F, optim, DataLoader, train_ds, test_ds = names(options.data_dir)

    class MnistModel(nn.Module):
        """Two layers and a ReLU between them."""

        def __init__(self) -> None:
            super().__init__()
            self.linear1 = nn.Linear(784, options.hidden)
            self.linear2 = nn.Linear(options.hidden, 10)

        def forward(self, xb: Any) -> Any:
            xb = xb.reshape(xb.shape[0], -1)
            return self.linear2(F.relu(self.linear1(xb)))

    torch.manual_seed(0)
    model = MnistModel()
    train_loader = DataLoader(train_ds, 128, shuffle=True)
    test_loader = DataLoader(test_ds, 256)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    seconds = []
    for _ in range(options.epochs):
        start = time.perf_counter()
        for images, labels in train_loader:
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
    correct = 0
    with torch.no_grad():
        for images, labels in test_loader:
            correct += (torch.argmax(model(images), dim=1) == labels).sum().item()
    print(json.dumps({"seconds": seconds, "accuracy": correct / len(test_ds), "megabytes": peak_memory()}))


def peak_memory() -> float:
    """Megabytes of this process alone; getrusage also counts those of the process that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
