"""Version counters: was an array written to after an op had used it?

A VJP may use the inputs and the output of its op. If their memory changed in between, the gradient would be wrong, so
the backward pass raises. As in torch, the version belongs to the memory and not to a Tensor: views, slices, `detach()`
and `.data` share it. Unlike torch, nothing is counted in the forward pass: each write gets a timestamp, and one
comparison with `latest` shows that nothing was written since a node was created.
"""

from __future__ import annotations

import weakref
from itertools import count
from typing import Any

from .grad_mode import current_monitor, monitors

clock = count()  # one clock for writes and for the creation of nodes


class _Write:
    """The latest write to one block of memory."""

    __slots__ = ("line", "memory", "time")
    line: str  # of the user's program, under detect_anomaly
    time: int

    def __init__(self, memory: Any, line: str, time: int) -> None:
        key = id(memory)
        self.line, self.time = line, time
        self.memory = weakref.ref(memory, lambda _: _writes.pop(key, None))  # the entry goes with the memory


_writes: dict[int, _Write] = {}  # by the identity of the array that owns the memory
latest = -1  # the time of the latest modification of any memory


def memory_of(array: Any) -> Any:
    """The object that owns the memory of an array: the end of its chain of `base`."""
    try:
        while array.base is not None:
            array = array.base
    except AttributeError:  # the memory is not an array's: a buffer, a memory map
        pass
    return array


def tick() -> int:
    """The time of a modification that starts now."""
    global latest
    latest = next(clock)
    return latest


def bump_version(*arrays: Any) -> None:
    """Note that the memory of these arrays is written to. Call it before the write, in case it is interrupted."""
    global latest
    line = current_monitor().user_line() if monitors and current_monitor() else ""
    time = latest = next(clock)
    for array in arrays:
        memory = array if array.base is None else memory_of(array)
        write = _writes.get(id(memory))
        if write is None:
            _writes[id(memory)] = _Write(memory, line, time)
        else:
            write.line, write.time = line, time


def written_since(array: Any, time: int) -> bool:
    """Whether the memory of an array was written to after `time`."""
    write = _writes.get(id(memory_of(array)))
    return write is not None and write.time > time


def line_of_write(array: Any) -> str:
    """The line that wrote to the memory of an array last; empty if it is not known."""
    write = _writes.get(id(memory_of(array)))
    return write.line if write else ""
