"""no_grad, enable_grad and set_grad_enabled: as blocks, as decorators, in generators, coroutines and threads."""

import threading

import pytest

import minigrad as mg

X = mg.tensor([1.0, 2.0], requires_grad=True)


def records():
    """Whether an op is recorded; `is_grad_enabled` must agree."""
    recorded = (X * 2).requires_grad
    assert mg.is_grad_enabled() is recorded
    return recorded


def test_no_grad_and_enable_grad_nest():
    with mg.no_grad():
        y = X * 2
        assert y.grad_fn is None
        assert not y.requires_grad
        with mg.enable_grad():
            assert records()
        assert not records()
        with mg.no_grad():
            pass
        assert not records()
    with pytest.raises(KeyError), mg.no_grad():
        raise KeyError
    assert records()


@pytest.mark.parametrize(
    ("decorator", "expected"),
    [
        (mg.no_grad, False),
        (mg.no_grad(), False),
        (mg.enable_grad, True),
        (mg.enable_grad(), True),
        (lambda function: mg.set_grad_enabled(False)(function), False),
        (lambda function: mg.set_grad_enabled(True)(function), True),
    ],
    ids=["no_grad", "no_grad()", "enable_grad", "enable_grad()", "set(False)", "set(True)"],
)
def test_decorated_function_runs_in_the_mode(decorator, expected):
    @decorator
    def function(value, *, key):
        """Docstring."""
        return value, key, records()

    assert function.__name__ == "function"
    assert function.__doc__ == "Docstring."
    for _ in range(2):
        assert function(1, key=2) == (1, 2, expected)
    assert records()
    with mg.no_grad():
        assert function(1, key=2) == (1, 2, expected)
        assert not records()


def test_decorated_function_may_call_itself():
    @mg.no_grad()
    def count(n):
        assert not records()
        return 0 if n == 0 else 1 + count(n - 1)

    assert count(3) == 3
    assert records()


def test_decorated_generator_sets_the_mode_only_while_it_runs():
    events = []

    @mg.no_grad
    def generate():
        try:
            received = yield records()
            events.append((received, records()))
            yield 2
        except KeyError:
            events.append(("thrown", records()))
            yield 3
        finally:
            events.append(("closed", records()))
        return "end"

    generator = generate()
    assert next(generator) is False
    assert records()
    assert generator.send("sent") == 2
    assert records()
    assert generator.throw(KeyError()) == 3
    assert records()
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == "end"
    assert events == [("sent", False), ("thrown", False), ("closed", False)]
    generator = generate()
    next(generator)
    generator.close()
    assert events[-1] == ("closed", False)
    assert records()


def test_decorated_coroutine_sets_the_mode_only_while_it_runs():
    class Pause:
        def __await__(self):
            return (yield "paused")

    @mg.no_grad()
    async def work():
        first = records()
        return first, await Pause(), records()

    coroutine = work()
    assert coroutine.send(None) == "paused"
    assert records()
    with pytest.raises(StopIteration) as stop:
        coroutine.send("resumed")
    assert stop.value.value == (False, "resumed", False)
    assert records()


def test_decorators_take_only_functions():
    async def asynchronous_generator():
        yield 1

    class Model:
        pass

    for value in (3, Model, asynchronous_generator):
        with pytest.raises(TypeError, match="expected a function, got"):
            mg.no_grad(value)


def test_set_grad_enabled_as_a_call_and_as_a_block():
    mg.set_grad_enabled(False)
    try:
        assert not records()
        with mg.set_grad_enabled(True):
            assert records()
        assert not records()
    finally:
        mg.set_grad_enabled(True)
    assert records()
    with mg.set_grad_enabled(False):
        assert not records()
        mg.set_grad_enabled(True)
        assert records()
    assert records()


@pytest.mark.parametrize("mode", [0, 1, None, "no", lambda: None])
def test_set_grad_enabled_takes_only_a_bool(mode):
    with pytest.raises(TypeError, match="set_grad_enabled: expected True or False"):
        mg.set_grad_enabled(mode)
    assert records()


@pytest.mark.parametrize("mode", [mg.no_grad, mg.enable_grad, mg.detect_anomaly])
def test_block_cannot_be_entered_twice(mode):
    block = mode()
    with block, pytest.raises(RuntimeError, match="this block is open already"), block:
        pass
    with block:
        pass
    assert records()


def test_block_cannot_be_entered_in_two_threads():
    block, errors = mg.no_grad(), []

    def enter():
        try:
            with block:
                pass
        except RuntimeError as error:
            errors.append(str(error))
        assert mg.is_grad_enabled()

    with block:
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
    assert errors == ["no_grad: this block is open in another thread; create one per thread"]


def test_modes_belong_to_one_thread():
    inside, done = threading.Event(), threading.Event()
    found = []

    def other():
        inside.wait()
        found.append(records())
        with mg.no_grad():
            found.append(records())
        mg.set_grad_enabled(False)
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with mg.no_grad(), mg.detect_anomaly():
        inside.set()
        done.wait()
        assert not records()
    thread.join()
    assert found == [True, False]
    assert records()
