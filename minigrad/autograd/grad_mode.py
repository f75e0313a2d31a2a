"""Whether ops are recorded in the graph: `no_grad` for evaluation and updates, `enable_grad` inside it.

Each thread has its own mode. A mode belongs to a block of code and ends with it, however the block is left.
"""

from __future__ import annotations

import inspect
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any


class _State(threading.local):
    """The autograd state of one thread: its open blocks, as a chain (reference to the innermost, the rest) or None."""

    grad_block: Any = None  # of no_grad, enable_grad, set_grad_enabled; None: ops are recorded
    monitor_block: Any = None  # of detect_anomaly
    trace_block: Any = None  # of jit.tracer.tracing


state = _State()


class Block(type(threading.RLock())):  # type: ignore[misc]
    """A `with` block that sets a mode of its thread, also usable as a decorator, with or without brackets.

    The block is a lock, and the mode is on while the thread holds it. `__exit__` is the lock's own, written in C, and
    `__enter__` takes the lock last. So Ctrl-C between two lines of Python cannot leave the mode on.
    """

    slot: str  # of the thread's state

    def __new__(cls, function: Any = None) -> Any:
        return super().__new__(cls) if function is None else run_in(cls, function)

    def __init__(self) -> None:
        pass

    def __enter__(self) -> Any:
        return self._open(lambda: self)

    def _open(self, reference: Callable[[], Any]) -> Any:
        """Enter the block. `reference` returns it, or None once it is gone."""
        if self._is_owned():
            raise RuntimeError(f"{type(self).__name__}: this block is open already; create a new one for each `with`")
        setattr(state, self.slot, (reference, getattr(state, self.slot)))
        try:
            if self.acquire(blocking=False):
                return self
        except BaseException:
            if self._is_owned():
                self.release()
            raise
        raise RuntimeError(f"{type(self).__name__}: this block is open in another thread; create one per thread")

    def __call__(self, function: Any) -> Any:
        """A function that runs in a block of this kind, a new one for each call."""
        return run_in(type(self), function)


def innermost(slot: str) -> Any:
    """The innermost block that this thread is in, or None."""
    chain = getattr(state, slot)
    while chain is not None:
        block = chain[0]()
        if block is not None and block._is_owned():
            break
        chain = chain[1]
    setattr(state, slot, chain)
    return None if chain is None else block


def run_in(new_block: Callable[[], Any], function: Any) -> Any:
    """The function, generator function or coroutine function, with its body in a new block at each call.

    While a generator or coroutine is suspended the block is not in force, so its caller is not affected.
    """
    if not callable(function) or inspect.isasyncgenfunction(function) or inspect.isclass(function):
        raise TypeError(f"expected a function, got {function!r}; use `with` inside it")

    def step(resume: Callable[..., Any], *args: Any) -> Any:
        block = new_block()
        block._open(weakref.ref(block))  # so that the block ends with this frame at the latest
        try:
            return resume(*args)
        finally:
            block.release()

    def drive(generator: Any) -> Iterator[Any]:
        resume, value = generator.send, None
        try:
            while True:
                try:
                    yielded = step(resume, value)
                except StopIteration as stop:
                    return stop.value
                try:
                    value = yield yielded
                    resume = generator.send
                except GeneratorExit:
                    raise
                except BaseException as error:  # thrown in by the caller
                    resume, value = generator.throw, error
        finally:
            step(generator.close)

    awaitable: Any = types.coroutine(drive)

    @wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        return step(lambda: function(*args, **kwargs))

    @wraps(function)
    def generator(*args: Any, **kwargs: Any) -> Any:
        return (yield from drive(function(*args, **kwargs)))

    @wraps(function)
    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        return await awaitable(function(*args, **kwargs))

    if inspect.iscoroutinefunction(function):
        return coroutine
    return generator if inspect.isgeneratorfunction(function) else plain


class no_grad(Block):
    """Turn recording off: `with no_grad():`, `@no_grad()` or `@no_grad`, for evaluation and for in-place updates.

    Example:
        >>> import minigrad as mg
        >>> w = mg.ones(2, requires_grad=True)
        >>> with mg.no_grad():
        ...     w -= 0.5
        >>> w
        tensor([0.5, 0.5], requires_grad=True)
    """

    slot = "grad_block"

    def __init__(self) -> None:
        self.mode = False


class enable_grad(no_grad):
    """Turn recording back on inside a `no_grad` block."""

    def __init__(self) -> None:
        self.mode = True


class set_grad_enabled(no_grad):
    """Turn recording on or off: at once as a call, or for a `with` block or a decorated function.

    Args:
        mode: True to record ops, False not to.

    Raises:
        TypeError: `mode` is not a bool.

    Example:
        >>> import minigrad as mg
        >>> x = mg.ones(2, requires_grad=True)
        >>> with mg.set_grad_enabled(False):
        ...     y = x * 2
        >>> y.requires_grad
        False
    """

    def __new__(cls, mode: bool) -> Any:
        if not isinstance(mode, bool):
            raise TypeError(f"set_grad_enabled: expected True or False, got {mode!r}")
        return super().__new__(cls)

    def __init__(self, mode: bool) -> None:
        self.mode = mode
        self.previous = is_grad_enabled()
        _set_mode(mode)

    def __enter__(self) -> Any:
        if not self._is_owned():
            _set_mode(self.previous)
        return super().__enter__()

    def __call__(self, function: Any) -> Any:
        _set_mode(self.previous)
        return run_in(enable_grad if self.mode else no_grad, function)


def _set_mode(mode: bool) -> None:
    """Set the mode of the innermost block, or of the thread if it is in none."""
    block = innermost("grad_block")
    if block is None and mode is False:
        block = no_grad().__enter__()  # for the rest of the thread
    if block is not None:
        block.mode = mode


def is_grad_enabled() -> bool:
    """Whether ops are recorded in this thread."""
    block = innermost("grad_block")
    return block is None or block.mode


monitors: dict[int, Any] = {}  # weak references to the blocks of detect_anomaly of all threads


def current_monitor() -> Any:
    """The block of `detect_anomaly` that this thread is in, or None."""
    return innermost("monitor_block") if monitors else None
