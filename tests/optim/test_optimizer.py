"""Optimizer, the base class: parameter groups, options, state_dict."""

import math

import pytest

import minigrad as mg
from minigrad import optim


def test_parameter_group_without_parameters_raises():
    for groups in ([{"lr": 0.1}], [{"params": [mg.ones(1)]}, mg.ones(1)]):
        with pytest.raises(TypeError, match=r'SGD: expected Tensors, or dicts {"params": Tensors'):
            optim.SGD(groups)


def test_infinite_lr_raises_and_betas_may_be_zero():
    w = mg.tensor([1.0], requires_grad=True)
    with pytest.raises(ValueError, match="lr: expected a finite number of 0 or more, got inf"):
        optim.SGD([w], lr=math.inf)
    w.sum().backward()
    optim.Adam([w], lr=0.25, betas=(0.0, 0.0)).step()
    assert w.tolist() == pytest.approx([0.75])


def test_sgd_default_lr_is_0001():
    w = mg.tensor([1.0], requires_grad=True)
    w.sum().backward()
    optim.SGD([w]).step()
    assert w.tolist() == pytest.approx([0.999])


def test_state_dict_numbers_parameters_across_groups():
    ws = [mg.tensor([1.0] * n, requires_grad=True) for n in (1, 2, 3)]
    optimizer = optim.SGD([{"params": ws[:2]}, {"params": ws[2:]}], momentum=0.5)
    sum(w.sum() for w in ws).backward()
    optimizer.step()
    state = optimizer.state_dict()
    assert [group["params"] for group in state["param_groups"]] == [[0, 1], [2]]
    assert {i: entries["momentum_buffer"].shape for i, entries in state["state"].items()} == {0: (1,), 1: (2,), 2: (3,)}


def test_load_state_dict_of_other_state_raises():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.SGD([w], momentum=0.5)
    for state in ({}, {"state": {}}, 3):
        with pytest.raises(ValueError, match=r"load_state_dict: expected the state_dict\(\) of an optimizer"):
            optimizer.load_state_dict(state)
    other = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    larger = optim.SGD([other], momentum=0.5)
    other.sum().backward()
    larger.step()
    with pytest.raises(ValueError, match=r"expected momentum_buffer of parameter 0 of shape \(2,\), got \(3,\)"):
        optimizer.load_state_dict(larger.state_dict())
    assert optimizer.state_dict()["state"] == {}
