"""Save and restore a run: everything that its next step depends on, in one file.

The weights alone are not enough. The optimizer has state (momentum, step count), so has the random number generator,
and the table has its rows. One file, written atomically, cannot mix two epochs. The order of the images is not saved:
the DataLoader derives it from the seed and the number of the epoch.
"""

from __future__ import annotations

from pathlib import Path

import minigrad as mg
from minigrad import nn, optim
from minigrad.serialization import CheckpointError

History = list[list[float]]  # one row for each epoch


def save(path: Path, model: nn.Module, optimizer: optim.Optimizer, history: History) -> None:
    """Write the state of a run after an epoch. Raises OSError; the file of the previous epoch is then kept."""
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    for position, entries in optimizer.state_dict()["state"].items():
        for name, value in entries.items():
            state[f"optimizer.{position}.{name}"] = value if isinstance(value, mg.Tensor) else mg.tensor(value)
    state["generator"] = mg.get_rng_state()
    state["history"] = mg.tensor(history, dtype=mg.float64)
    mg.save(state, path)


def load(path: Path, model: nn.Module, optimizer: optim.Optimizer) -> History:
    """Restore model, optimizer and random numbers from a checkpoint, and return the history.

    Raises CheckpointError if the file is corrupt or belongs to another model.
    """
    state = mg.load(path)
    try:
        generator, history = state.pop("generator"), state.pop("history")
        weights = {name.removeprefix("model."): state.pop(name) for name in [*state] if name.startswith("model.")}
        slots: dict[str, dict[str, object]] = {}
        for name, value in state.items():
            _, position, slot = name.split(".")
            slots.setdefault(position, {})[slot] = value.item() if value.dtype == mg.int64 else value
        model.load_state_dict(weights)
        optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})  # the options are those of this command
        mg.set_rng_state(generator)
    except (KeyError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path} is not a checkpoint of this run: {error}") from error
    return history.tolist()
