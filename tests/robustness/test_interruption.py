"""Ctrl-C at any line: KeyboardInterrupt raised before each line of minigrad that a call runs, one line at a time."""

import sys

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad.autograd.grad_mode import current_monitor

PACKAGE = mg.__path__[0]


def interrupted(call, line):
    """Run `call` with KeyboardInterrupt raised before the line-th line of minigrad. False if it ended before that."""
    left = line

    def trace(frame, event, argument):
        nonlocal left
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            left -= 1
            if left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


def every_line(prepare, check):
    """Interrupt the call that `prepare` returns at each of its lines, and check the state that it also returns."""
    line = 1
    while True:
        call, state = prepare()
        if not interrupted(call, line):
            break
        check(state, f"line {line}")
        assert mg.is_grad_enabled(), f"line {line}: recording is off"
        assert current_monitor() is None, f"line {line}: detect_anomaly is on"
        line += 1
    assert line > 1
    return line


def model_and_loss(create_graph=False):
    mg.manual_seed(0)
    model = mg.nn.Sequential(mg.nn.Linear(3, 4), mg.nn.ReLU(), mg.nn.Linear(4, 2))
    x, labels = mg.rand(5, 3), mg.randint(0, 2, (5,))
    return model, mg.nn.functional.cross_entropy(model(x), labels)


def bits(model):
    return [None if p.grad is None else p.grad.detach().numpy().tobytes() for p in model.parameters()]


@pytest.mark.parametrize("create_graph", [False, True])
def test_backward_accumulates_all_gradients_or_none(create_graph):
    model, loss = model_and_loss()
    loss.backward(create_graph=create_graph)
    complete = bits(model)

    def prepare():
        model, loss = model_and_loss()
        return lambda: loss.backward(create_graph=create_graph), model

    def check(model, where):
        assert bits(model) in ([None] * 4, complete), where

    every_line(prepare, check)


def test_second_backward_adds_to_all_gradients_or_none():
    def twice():
        model, loss = model_and_loss()
        loss.backward(retain_graph=True)
        return model, loss

    model, loss = twice()
    once = bits(model)
    loss.backward()
    complete = bits(model)

    def prepare():
        model, loss = twice()
        return loss.backward, model

    def check(model, where):
        assert bits(model) in (once, complete), where

    every_line(prepare, check)


@pytest.mark.parametrize("block", [mg.no_grad, mg.enable_grad, mg.detect_anomaly, lambda: mg.set_grad_enabled(True)])
def test_modes_end_with_their_block(block):
    def prepare():
        def run():
            with block():
                mg.ones(2, requires_grad=True) * 2

        return run, None

    every_line(prepare, lambda state, where: None)


def test_decorated_functions_end_their_mode():
    @mg.no_grad
    def double(x):
        return x * 2

    @mg.no_grad()
    def generate(x):
        yield x * 2
        yield x * 3

    def prepare():
        x = mg.ones(2, requires_grad=True)
        return lambda: (double(x), list(generate(x))), None

    every_line(prepare, lambda state, where: None)


def test_update_in_place_is_seen_if_it_has_happened():
    def prepare():
        x, w = mg.ones(3), mg.ones(3, requires_grad=True)
        y = (x * w).sum()
        return lambda: x.add_(1), (x, w, y)

    def check(state, where):
        x, w, y = state
        changed = x.numpy()[0] != 1
        try:
            y.backward()
        except RuntimeError:
            return
        assert not changed, where
        assert np.array_equal(w.grad.numpy(), np.ones(3)), where

    every_line(prepare, check)


OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1),
    "SGD, all options": lambda p: optim.SGD(p, 0.1, 0.9, weight_decay=0.1, nesterov=True, maximize=True),
    "SGD, dampening": lambda p: optim.SGD([{"params": p[:1], "lr": 1.0}, {"params": p[1:]}], 0.1, 0.9, dampening=0.5),
    "Adam": lambda p: optim.Adam(p, lr=0.1),
    "Adam, all options": lambda p: optim.Adam(p, 0.1, (0.0, 0.5), weight_decay=0.1, amsgrad=True, maximize=True),
    "AdamW": lambda p: optim.AdamW(p, lr=0.1),
}


def optimizer_after_steps(name, steps):
    model, loss = model_and_loss()
    loss.backward()
    optimizer = OPTIMIZERS[name](list(model.parameters()))
    for _ in range(steps):
        optimizer.step()
    return model, optimizer


def weights_and_state(model, optimizer):
    state = optimizer.state_dict()["state"]
    entries = [(i, name, np.asarray(value).tobytes()) for i in state for name, value in sorted(state[i].items())]
    return [p.detach().numpy().tobytes() for p in model.parameters()], entries


@pytest.mark.parametrize("steps", [0, 1])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_step_updates_everything_or_nothing(name, steps):
    before, after = (weights_and_state(*optimizer_after_steps(name, n)) for n in (steps, steps + 1))

    def prepare():
        model, optimizer = optimizer_after_steps(name, steps)
        return optimizer.step, (model, optimizer)

    def check(state, where):
        assert weights_and_state(*state) in (before, after), where

    every_line(prepare, check)


@pytest.mark.parametrize("set_to_none", [False, True])
def test_zero_grad_resets_all_gradients_or_none(set_to_none):
    def prepare():
        model, optimizer = optimizer_after_steps("SGD", 0)
        return lambda: optimizer.zero_grad(set_to_none), (model, bits(model))

    reset = [None if set_to_none else bytes(p.array.nbytes) for p in model_and_loss()[0].parameters()]

    def check(state, where):
        model, before = state
        assert bits(model) in (before, reset), where

    every_line(prepare, check)


def test_load_state_dict_replaces_an_optimizer_or_nothing():
    _, source = optimizer_after_steps("Adam", 3)
    given = {**source.state_dict()}
    given["param_groups"] = [{**given["param_groups"][0], "lr": 0.5}]

    def prepare():
        model, optimizer = optimizer_after_steps("Adam", 1)
        return lambda: optimizer.load_state_dict(given), (model, optimizer)

    def check(state, where):
        _, optimizer = state
        assert (optimizer.param_groups[0]["lr"], optimizer.state[0]["step"]) in ((0.1, 1), (0.5, 3)), where

    every_line(prepare, check)
