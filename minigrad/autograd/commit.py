"""Changes that happen all together or not at all, even if Ctrl-C strikes in between."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any


def commit(changes: Iterable[Any]) -> None:
    """Run an iterator to its end.

    Python raises KeyboardInterrupt between two lines of Python. If the iterator is `map` or `starmap` over a function
    written in C, as `map(setattr, xs, repeat("_grad"), gs)` or `starmap(operator.iadd, pairs)`, there are none.
    """
    deque(changes, maxlen=0)
