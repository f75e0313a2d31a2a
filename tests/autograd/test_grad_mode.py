"""no_grad, enable_grad, set_grad_enabled: a mode belongs to a block, of one thread, and ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading

import pytest

import minigrad as mg
from minigrad.autograd import grad_mode
from minigrad.autograd.grad_mode import current_monitor


def enabled():
    """Whether an op is recorded here."""
    recorded = (mg.ones(2, requires_grad=True) * 2).requires_grad
    assert recorded == mg.is_grad_enabled()
    return recorded


def in_threads(function, count=1):
    """The results of a function that runs in new threads at once."""
    results, start = [], threading.Barrier(count)

    def work():
        start.wait()
        results.append(function())

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == count
    return results


@pytest.fixture(autouse=True)
def _new_thread_state():
    """A failure does not pass its mode on to the next test."""
    yield
    grad_mode.state.grad_block = grad_mode.state.monitor_block = None


# Blocks
def test_blocks_nest():
    with mg.no_grad():
        with mg.enable_grad():
            assert enabled()
            with mg.set_grad_enabled(False):
                assert not enabled()
            assert enabled()
        assert not enabled()
        with mg.no_grad():
            pass
        assert not enabled()
    assert enabled()


def test_block_ends_with_an_exception():
    with pytest.raises(KeyError), mg.no_grad():
        raise KeyError
    assert enabled()


def test_blocks_in_an_exit_stack():
    with contextlib.ExitStack() as stack:
        for block, mode in ((mg.no_grad, False), (mg.enable_grad, True), (lambda: mg.set_grad_enabled(False), False)):
            stack.enter_context(block())
            assert enabled() is mode
    assert enabled()


def test_blocks_that_end_out_of_order():
    outer, inner = contextlib.ExitStack(), contextlib.ExitStack()
    outer.enter_context(mg.no_grad())
    inner.enter_context(mg.enable_grad())
    outer.close()
    assert enabled()  # the block that is still open is in force
    inner.close()
    assert enabled()


@pytest.mark.parametrize("block", [mg.no_grad, mg.enable_grad, mg.detect_anomaly, lambda: mg.set_grad_enabled(False)])
def test_open_block_cannot_be_entered_again(block):
    opened = block()
    with opened:
        mode = mg.is_grad_enabled()
        with pytest.raises(RuntimeError, match=r"this block is open already; create a new one for each `with`"):
            opened.__enter__()
        assert mg.is_grad_enabled() is mode
    assert enabled()
    with opened:  # closed, it can be used again
        pass
    assert enabled()


def test_block_open_in_another_thread_cannot_be_entered():
    block = mg.no_grad()

    def enter():
        with pytest.raises(RuntimeError, match="no_grad: this block is open in another thread; create one per thread"):
            block.__enter__()
        return enabled()

    with block:
        assert in_threads(enter) == [True]
        assert not enabled()


def test_block_that_is_never_left_does_not_last():
    block = mg.no_grad()
    block.__enter__()
    assert not enabled()
    block.__exit__(None, None, None)
    assert enabled()


# set_grad_enabled
def test_set_grad_enabled_as_a_call():
    def work():
        found = [enabled()]
        for mode in (False, False, True, True, False):
            mg.set_grad_enabled(mode)
            found.append(enabled())
        return found

    assert in_threads(work) == [[True, False, False, True, True, False]]  # a thread of its own: the mode stays on
    assert enabled()


def test_set_grad_enabled_call_inside_a_block_ends_with_it():
    with mg.no_grad():
        mg.set_grad_enabled(True)
        assert enabled()
        with mg.enable_grad():
            mg.set_grad_enabled(False)
            assert not enabled()
        assert enabled()
    assert enabled()


def test_set_grad_enabled_as_block_and_decorator():
    block = mg.set_grad_enabled(False)
    assert not enabled()
    with block:
        assert not enabled()
    assert enabled()
    decorate = mg.set_grad_enabled(False)
    function = decorate(enabled)
    assert enabled()
    assert function() is False
    assert enabled()


@pytest.mark.parametrize("mode", [0, 1, None, "False", mg.tensor(True)])
def test_set_grad_enabled_needs_a_bool(mode):
    with pytest.raises(TypeError, match="set_grad_enabled: expected True or False"):
        mg.set_grad_enabled(mode)
    assert enabled()


# Decorated functions
@pytest.mark.parametrize("decorate", [mg.no_grad, mg.no_grad(), mg.set_grad_enabled], ids=["bare", "called", "set"])
def test_decorated_function_runs_in_the_mode(decorate):
    if decorate is mg.set_grad_enabled:
        decorate = mg.set_grad_enabled(False)

    @decorate
    def function(x, *, scale=2):
        """Scale x."""
        assert not enabled()
        return x * scale

    y = function(mg.ones(2, requires_grad=True), scale=3)
    assert not y.requires_grad
    assert y.tolist() == [3.0, 3.0]
    assert (function.__name__, function.__doc__) == ("function", "Scale x.")
    assert enabled()


def test_decorated_function_calls_itself():
    @mg.no_grad
    def countdown(n):
        return [enabled(), *(countdown(n - 1) if n else [])]

    assert countdown(20) == [False] * 21
    assert enabled()


def test_decorated_function_in_eight_threads():
    @mg.no_grad()
    def work():
        return {enabled() for _ in range(500)}

    def both():
        return [(work(), enabled()) for _ in range(5)]

    assert in_threads(both, 8) == [[({False}, True)] * 5] * 8
    assert enabled()


def test_decorated_method():
    class Model:
        @mg.no_grad()
        def predict(self):
            return self, enabled()

    model = Model()
    assert model.predict() == (model, False)


@pytest.mark.parametrize("decorate", [mg.no_grad, mg.enable_grad, mg.detect_anomaly])
def test_classes_and_other_objects_cannot_be_decorated(decorate):
    async def asynchronous_generator():
        yield

    for value in (3, "function", int, asynchronous_generator):
        with pytest.raises(TypeError, match=r"expected a function, got .*; use `with` inside it"):
            decorate()(value)


# Generators and coroutines
@mg.no_grad()
def generate():
    """Yield the mode, and the value sent or the error thrown, until `stop` is sent; return the number of steps."""
    value, steps = None, 0
    try:
        while value != "stop":
            try:
                value = yield enabled(), value
            except KeyError as error:
                value = error.args[0]
            steps += 1
        return steps
    finally:
        assert not enabled()


def test_generator_mode_does_not_leak_to_its_caller():
    generator = generate()
    assert next(generator) == (False, None)
    assert enabled()
    assert generator.send("sent") == (False, "sent")
    assert generator.throw(KeyError("thrown")) == (False, "thrown")
    assert enabled()
    with pytest.raises(StopIteration) as stop:
        generator.send("stop")
    assert stop.value.value == 4 - 1
    assert enabled()


def test_generator_mode_ends_with_close_and_with_errors():
    closed, failed = generate(), generate()
    for generator in (closed, failed):
        next(generator)
    closed.close()
    assert enabled()
    with pytest.raises(ZeroDivisionError):
        failed.throw(ZeroDivisionError())
    assert enabled()
    for generator in (closed, failed):
        with pytest.raises(StopIteration):
            next(generator)
    generator = generate()
    next(generator)
    del generator
    gc.collect()
    assert enabled()


def test_generators_interleave_and_delegate():
    @mg.enable_grad()
    def outer():
        return (yield from generate())

    generators = [outer(), generate(), outer()]
    with mg.no_grad():
        assert [next(generator) for generator in generators] == [(False, None)] * 3
    for generator in generators:
        with pytest.raises(StopIteration) as stop:
            generator.send("stop")
        assert stop.value.value == 1
    assert enabled()


def test_generator_started_in_one_thread_and_resumed_in_another():
    generator = generate()
    assert next(generator) == (False, None)
    assert in_threads(lambda: (generator.send("there"), enabled())) == [((False, "there"), True)]
    assert enabled()


def test_coroutines_that_alternate_keep_their_modes():
    @mg.no_grad()
    async def work():
        found = []
        for _ in range(3):
            found.append(enabled())
            await asyncio.sleep(0)
        return found

    @mg.no_grad
    async def fail():
        await asyncio.sleep(0)
        assert not enabled()
        raise KeyError

    async def main():
        tasks = [asyncio.ensure_future(work()) for _ in range(3)]
        found = []
        for _ in range(3):
            found.append(enabled())
            await asyncio.sleep(0)
        with pytest.raises(KeyError):
            await fail()
        return found, [await task for task in tasks]

    assert asyncio.run(main()) == ([True] * 3, [[False] * 3] * 3)
    assert enabled()


# Threads
def test_modes_and_monitors_belong_to_their_thread():
    with mg.no_grad(), mg.detect_anomaly():
        assert in_threads(lambda: (enabled(), current_monitor(), enabled())) == [(True, None, True)]
        assert current_monitor() is not None
    assert current_monitor() is None


def test_block_of_a_finished_thread_is_closed_with_it():
    def work():
        mg.no_grad().__enter__()
        mg.set_grad_enabled(False)
        return mg.is_grad_enabled()

    assert in_threads(work) == [False]
    assert in_threads(enabled) == [True]


def test_coroutine_receives_values_and_returns_one():
    class Pause:
        def __await__(self):
            return (yield "paused")

    @mg.no_grad()
    async def work():
        return await Pause(), enabled()

    coroutine = work()
    assert coroutine.send(None) == "paused"
    assert enabled()
    with pytest.raises(StopIteration) as stop:
        coroutine.send("resumed")
    assert stop.value.value == ("resumed", False)


def test_decorated_functions_keep_their_names():
    def predict():
        return None

    def predictions():
        yield

    async def prediction():
        return None

    for function in (predict, predictions, prediction):
        assert mg.no_grad()(function).__name__ == function.__name__
