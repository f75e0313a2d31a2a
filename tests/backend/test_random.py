"""Random numbers: seeds, the state of the generator."""

import json

import numpy as np
import pytest

import minigrad as mg
from minigrad import backend


@pytest.fixture(autouse=True)
def _restore_generator(monkeypatch):
    monkeypatch.setattr(backend.random, "_shared", backend.random._shared)


def state_with(**parts):
    """The Tensor of get_rng_state() with some parts replaced."""
    state = json.loads(bytes(mg.get_rng_state().tolist()))
    return mg.tensor(list(json.dumps({**state, **parts}).encode()), dtype="uint8")


@pytest.mark.parametrize(
    "make",
    [
        lambda: None,
        lambda: mg.tensor([0.5]),
        lambda: mg.tensor([300]),
        lambda: mg.tensor([1, 2, 3]),
        lambda: state_with(state={}),
        lambda: state_with(state={"state": -1, "inc": 1}),
        lambda: state_with(state=3),
        lambda: state_with(bit_generator="another"),
    ],
)
def test_set_rng_state_takes_only_a_state(make):
    state, before = make(), mg.get_rng_state().tolist()
    with pytest.raises(ValueError, match=r"set_rng_state: expected a Tensor of get_rng_state\(\)"):
        mg.set_rng_state(state)
    assert mg.get_rng_state().tolist() == before


def test_rng_state_continues_the_stream():
    state = mg.get_rng_state()
    first = mg.rand(3).tolist()
    assert mg.rand(3).tolist() != first
    mg.set_rng_state(state)
    assert mg.rand(3).tolist() == first


def test_generator_is_created_at_the_first_use(monkeypatch):
    monkeypatch.setattr(backend.random, "_shared", None)
    generator = backend.random.generator()
    assert isinstance(generator, np.random.Generator)
    assert backend.random.generator() is generator


def test_devices_draw_the_same_numbers(device):
    def draw(device):
        mg.manual_seed(3)
        return [mg.rand(2, device=device).tolist(), mg.randn(2, device=device).tolist()]

    assert draw(device) == draw("cpu")


@pytest.mark.parametrize(("seed", "error"), [(1.5, TypeError), ("1", TypeError), (None, TypeError), (-1, ValueError)])
def test_seed_must_be_a_natural_number(seed, error):
    with pytest.raises(error, match="seed: expected an integer"):
        mg.manual_seed(seed)
