"""Mutation testing of the tests of the engine: each planted fault must be detected by the tests of its kind."""

from __future__ import annotations

import numpy as np
import pytest
import test_arguments
import test_higher_order
import test_random_programs
import test_sequences
from hypothesis import HealthCheck, Phase, given, settings

from minigrad.autograd import arguments, graph, tensor, version_counter
from minigrad.autograd.methods import OPS
from minigrad.autograd.op import tensor_namespace

SETTINGS = settings(
    max_examples=200, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None
)


def random_programs(torch):
    SETTINGS(given(test_random_programs.programs)(test_random_programs.run_program))()


def nested_derivatives(torch):
    for name in test_higher_order.NESTED:
        test_higher_order.test_three_derivatives_at_zeros_and_ties_are_those_of_torch(name, torch)


def sequences(torch):
    for name in ("grad_of_the_same_output_twice", "plain_backward_through_a_recorded_gradient"):
        getattr(test_sequences, f"test_{name}")(torch)
    test_sequences.test_earlier_recorded_gradient_keeps_its_value()
    test_sequences.test_retained_graph_gives_the_same_bits_each_time()
    for optimizer in (test_sequences.optim.SGD, test_sequences.optim.Adam):
        test_sequences.test_graph_from_before_a_step_cannot_be_used_after_it(optimizer)


def forms_of_arguments(torch):
    for name in ("sub", "sum", "softmax", "cat", "transpose", "maximum"):
        test_arguments.test_every_form_of_a_call_gives_the_same_bits(name)
    for number in (0.5, np.float64(0.5), np.int64(2)):
        test_arguments.test_numbers_of_every_type_are_operands("sub", number, torch)


# Faults, each planted with pytest's monkeypatch
def patch(*args):
    return lambda monkeypatch: monkeypatch.setattr(*args)


def patch_body(name, change):
    return lambda monkeypatch: monkeypatch.setattr(OPS[name].op, "body", change(OPS[name].op.body))


def first_order_only(body):
    """The VJP of relu as a constant of the second order."""

    def relu(xp, x):
        y, (vjp,) = body(xp, x)
        return y, ((lambda g: vjp(g.detach()),) if xp is tensor_namespace else (vjp,))

    return relu


def with_kinks(body):
    """The slope of softplus by a formula with |x|, which has no derivative at 0."""

    def softplus(xp, x, *, beta=1.0, threshold=20.0):
        y, _ = body(xp, x, beta=beta, threshold=threshold)
        return y, (lambda g: g * xp.exp(xp.minimum(x, 0)) / (1 + xp.exp(-xp.abs(x))),)

    return softplus


def power_over_x(body):
    """x ** p with the gradient g p y / x in the second order, which is nan at 0."""

    def pow(xp, x, p):
        y, vjps = body(xp, x, p)
        return y, ((lambda g: g * p * y / x), vjps[1]) if xp is tensor_namespace else vjps

    return pow


def rounded_numpy_number(op, position, number):
    return ORIGINAL_NUMBER(op, position, number if isinstance(number, int) else int(number))


def without_total(outputs, grads, *args, **options):
    """An output that is given twice counts once."""
    unique = {id(y): (y, g) for y, g in zip(outputs, grads)}
    return ORIGINAL_PASS([y for y, _ in unique.values()], [g for _, g in unique.values()], *args, **options)


ORIGINAL_NUMBER, ORIGINAL_PASS = arguments.to_python_number, graph.backward_pass
FAULTS = {
    "writes are not counted": (patch(tensor, "bump_version", lambda array: None), random_programs),
    "writes through views are not counted": (patch(version_counter, "memory_of", lambda array: array), random_programs),
    "backward checks no versions": (patch(graph, "written_since", lambda array, time: False), random_programs),
    "backward after a step checks no versions": (patch(graph, "written_since", lambda *args: False), sequences),
    "detach copies": (patch(tensor.Tensor, "detach", lambda self: tensor.wrap(self.array.copy())), random_programs),
    "contributions are halved": (patch(graph, "as_array", lambda total: np.asarray(total / 2)), random_programs),
    "an output given twice counts once": (patch(tensor, "backward_pass", without_total), sequences),
    "relu is constant in the second order": (patch_body("relu", first_order_only), nested_derivatives),
    "softplus has kinks in the second order": (patch_body("softplus", with_kinks), nested_derivatives),
    "x ** p is nan at 0 in the second order": (patch_body("pow", power_over_x), nested_derivatives),
    "input is the second argument": (
        lambda monkeypatch: monkeypatch.setitem(arguments.TORCH_NAMES, "input", ("b",)),
        forms_of_arguments,
    ),
    "NumPy numbers are rounded": (patch(arguments, "to_python_number", rounded_numpy_number), forms_of_arguments),
}


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")
@pytest.mark.parametrize("check", [random_programs, nested_derivatives, sequences, forms_of_arguments])
def test_checks_pass_without_a_fault(check, torch):
    check(torch)


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_engine_faults_are_detected(fault, monkeypatch, torch):
    plant, check = FAULTS[fault]
    plant(monkeypatch)
    with pytest.raises((AssertionError, TypeError, RuntimeError, pytest.fail.Exception)):
        check(torch)
