"""Random programs on minigrad and torch: values and gradients agree.

A hypothesis state machine creates leaves, combines them (shared and reused), detaches, computes under no_grad, retains
gradients, runs backward once or twice, accumulates, and differentiates gradients.
"""

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

import minigrad as mg

torch = pytest.importorskip("torch", reason="torch is the reference of this test")

SIZE = 3
TOLERANCE = dict(rtol=1e-9, atol=1e-9)


class Pair:
    """The same Tensor in both libraries."""

    def __init__(self, ours, theirs):
        self.ours, self.theirs = ours, theirs


def bounded(pair):
    """tanh of both, so that long programs do not overflow."""
    return Pair(pair.ours.tanh(), pair.theirs.tanh())


class RandomProgram(RuleBasedStateMachine):
    tensors = Bundle("tensors")

    def __init__(self):
        super().__init__()
        self.leaves = []
        self.retained = []

    @rule(target=tensors, seed=st.integers(0, 2**16), requires_grad=st.booleans())
    def leaf(self, seed, requires_grad):
        values = np.random.default_rng(seed).uniform(-1, 1, (SIZE, SIZE))
        pair = Pair(mg.tensor(values, requires_grad=requires_grad), torch.tensor(values, requires_grad=requires_grad))
        self.leaves.append(pair)
        return pair

    @rule(target=tensors, x=tensors, name=st.sampled_from(["exp", "tanh", "sigmoid", "relu", "abs", "neg", "clone"]))
    def unary(self, x, name):
        return bounded(Pair(*(getattr(lib, name)(t) for lib, t in ((mg, x.ours), (torch, x.theirs)))))

    @rule(target=tensors, x=tensors, y=tensors, name=st.sampled_from(["add", "sub", "mul", "matmul", "maximum"]))
    def binary(self, x, y, name):
        return bounded(Pair(getattr(mg, name)(x.ours, y.ours), getattr(torch, name)(x.theirs, y.theirs)))

    @rule(target=tensors, x=tensors, dim=st.integers(-2, 1))
    def reduced_and_broadcast(self, x, dim):
        return Pair(x.ours - x.ours.mean(dim, keepdim=True), x.theirs - x.theirs.mean(dim, keepdim=True))

    @rule(target=tensors, x=tensors, index=st.lists(st.integers(-SIZE, SIZE - 1), min_size=SIZE, max_size=SIZE))
    def rows(self, x, index):
        return Pair(x.ours[mg.tensor(index)], x.theirs[torch.tensor(index)])

    @rule(target=tensors, x=tensors)
    def transposed(self, x):
        return Pair(x.ours.T, x.theirs.T)

    @rule(target=tensors, x=tensors)
    def detached(self, x):
        return Pair(x.ours.detach(), x.theirs.detach())

    @rule(target=tensors, x=tensors)
    def without_recording(self, x):
        with mg.no_grad(), torch.no_grad():
            return Pair(x.ours * 2, x.theirs * 2)

    @rule(x=tensors)
    def retain(self, x):
        if x.theirs.requires_grad and x.theirs.grad_fn is not None:
            x.ours.retain_grad()
            x.theirs.retain_grad()
            self.retained.append(x)

    @rule(x=tensors, y=tensors, seed=st.integers(0, 2**16), twice=st.booleans())
    def backward(self, x, y, seed, twice):
        weights = np.random.default_rng(seed).uniform(-1, 1, (SIZE, SIZE))
        ours = (x.ours * y.ours * mg.tensor(weights)).sum()
        theirs = (x.theirs * y.theirs * torch.tensor(weights)).sum()
        assert ours.requires_grad == theirs.requires_grad
        if theirs.requires_grad:
            for loss in (ours, theirs):  # graphs are shared between programs, so they are retained
                loss.backward(retain_graph=True)
                if twice:
                    loss.backward(retain_graph=True)
        else:
            for loss in (ours, theirs):
                with pytest.raises(RuntimeError):
                    loss.backward()

    @rule(x=tensors, y=tensors)
    def gradients_of_gradients(self, x, y):
        leaves = [leaf for leaf in self.leaves if leaf.theirs.requires_grad]
        theirs = (x.theirs * x.theirs * y.theirs).sum()
        if not (leaves and theirs.requires_grad):
            return
        ours = (x.ours * x.ours * y.ours).sum()
        first = mg.grad(ours, [p.ours for p in leaves], create_graph=True, allow_unused=True)
        expected = torch.autograd.grad(theirs, [p.theirs for p in leaves], create_graph=True, allow_unused=True)
        assert [g is None for g in first] == [g is None for g in expected]
        ours, theirs = (sum((g * g).sum() for g in gs if g is not None) for gs in (first, expected))
        assert ours.requires_grad >= theirs.requires_grad
        if theirs.requires_grad:
            second = mg.grad(ours, [p.ours for p in leaves], retain_graph=True, allow_unused=True)
            expected = torch.autograd.grad(theirs, [p.theirs for p in leaves], retain_graph=True, allow_unused=True)
            for g, e in zip(second, expected):
                zero = np.zeros((SIZE, SIZE))
                np.testing.assert_allclose(zero if g is None else g.numpy(), zero if e is None else e, **TOLERANCE)

        self.reset()  # unlike ours, torch.autograd.grad sets .grad of Tensors that retain it

    @rule()
    def reset(self):
        for pair in self.leaves + self.retained:
            pair.ours.grad = pair.theirs.grad = None

    @rule(x=consumes(tensors))
    def discard(self, x):
        pass

    @invariant()
    def values_and_gradients_agree(self):
        assert mg.is_grad_enabled()
        for pair in self.leaves + self.retained:
            np.testing.assert_allclose(pair.ours.detach().numpy(), pair.theirs.detach().numpy(), **TOLERANCE)
            assert (pair.ours.grad is None) == (pair.theirs.grad is None)
            if pair.ours.grad is not None:
                np.testing.assert_allclose(pair.ours.grad.numpy(), pair.theirs.grad.numpy(), **TOLERANCE)


TestRandomProgram = RandomProgram.TestCase
