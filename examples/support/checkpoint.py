"""Save and restore a run: everything that its next step depends on, in one file.

The weights alone are not enough. The optimizer has state (momentum, step count), so has the random number generator,
and the table has its rows. One file, written atomically, cannot mix two moments. The order of the images is not saved:
the DataLoader derives it from the seed and the number of the epoch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import minigrad as mg
from minigrad import backend, nn, optim
from minigrad.serialization import CheckpointError, save_with_notes

State = Mapping[str, mg.Tensor]
COLUMNS = ["epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds"]


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        history: a row for each finished epoch, with the columns COLUMNS.
        batch: the number of batches that are done of the next epoch.
        seconds: the time that these batches took.
    """

    history: list[list[float]] = field(default_factory=list)
    batch: int = 0
    seconds: float = 0.0


def save(
    path: Path, model: nn.Module, optimizer: optim.Optimizer, progress: Progress, notes: Mapping[str, Any]
) -> None:
    """Write the state of a run, with notes. Raises OSError; the previous file is then kept."""
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    for position, entries in optimizer.state_dict()["state"].items():
        for name, value in entries.items():
            state[f"optimizer.{position}.{name}"] = value if isinstance(value, mg.Tensor) else mg.tensor(value)
    state["generator"] = mg.get_rng_state()
    state["history"] = mg.tensor(progress.history, dtype=mg.float64).reshape(-1, len(COLUMNS))
    state["position"] = mg.tensor([progress.batch, progress.seconds], dtype=mg.float64)
    save_with_notes(state, path, notes)


def restore(path: Path, state: State, model: nn.Module, optimizer: optim.Optimizer) -> Progress:
    """Restore model, optimizer and random numbers from the `state` in the file `path`.

    Raises CheckpointError unless it is exactly the state of this model and this optimizer.
    """
    expected = {f"model.{name}" for name in model.state_dict()} | {"generator", "history", "position"}
    expected |= {f"optimizer.{name}" for name in slots(optimizer)}
    try:
        if state.keys() != expected:
            raise ValueError(f"missing {sorted(expected - state.keys())}, unexpected {sorted(state.keys() - expected)}")
        progress = read_progress(state["history"], state["position"])
        entries: dict[str, dict[str, object]] = {}
        for name, (shape, dtype) in slots(optimizer).items():
            value, (position, slot) = state[f"optimizer.{name}"], name.split(".")
            if (value.shape, value.dtype) != (shape, dtype):
                raise ValueError(f"optimizer.{name}: expected {shape} {dtype}, got {value.shape} {value.dtype}")
            entries.setdefault(position, {})[slot] = value.item() if value.dtype == mg.int64 else value
        weights = {name.removeprefix("model."): state[name] for name in state if name.startswith("model.")}
        model.load_state_dict(weights)
        optimizer.load_state_dict({**optimizer.state_dict(), "state": entries})  # the options are those of this command
        mg.set_rng_state(state["generator"])
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path} is not a checkpoint of this run: {error}") from error
    return progress


def slots(optimizer: optim.Optimizer) -> dict[str, tuple[Any, Any]]:
    """Shape and dtype of all that the optimizer stores from a first step on, by "position.name"."""
    groups = [(group, parameter) for group in optimizer.param_groups for parameter in group["params"]]
    found = {}
    for position, (group, parameter) in enumerate(groups):
        w = parameter.array
        for name, value in optimizer.update(w, backend.namespace(w).zeros_like(w), {}, group)[1].items():
            found[f"{position}.{name}"] = (value.shape, value.dtype) if hasattr(value, "dtype") else ((), mg.int64)
    return found


def read_progress(history: mg.Tensor, position: mg.Tensor) -> Progress:
    """The history and the position in an epoch. Raises ValueError if a run cannot have them."""
    if history.dtype != mg.float64 or history.ndim != 2 or history.shape[1] != len(COLUMNS):
        raise ValueError(f"history: expected ({len(COLUMNS)} columns) float64, got {history.shape} {history.dtype}")
    if position.dtype != mg.float64 or position.shape != (2,):
        raise ValueError(f"position: expected (2,) float64, got {position.shape} {position.dtype}")
    rows: list[list[float]] = history.tolist() if history.shape[0] else []
    batch, seconds = position.tolist()
    for epoch, row in enumerate(rows, 1):
        if row[0] != epoch or not all(map(math.isfinite, row)) or row[-1] <= 0:
            raise ValueError(f"history: row {epoch} is {row}")
    if not (math.isfinite(batch) and batch >= 0 and batch == int(batch) and 0 <= seconds < math.inf):
        raise ValueError(f"position: expected a number of batches and seconds, got {batch} and {seconds}")
    return Progress(rows, int(batch), seconds)
