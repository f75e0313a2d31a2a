"""Random programs on minigrad and torch: values and gradients agree, or minigrad raises an error.

`RandomProgram` is a hypothesis state machine that creates leaves, combines them (shared and reused), detaches, computes
under no_grad, retains gradients, runs backward once or twice, accumulates, and differentiates gradients.

`run_program` runs a list of steps with views, masks and in-place updates between them. A Tensor that shares memory with
others is modified at random moments, before or after an op has used it, and backward may come at any time.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.errors import UnsatisfiedAssumption
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

import minigrad as mg

torch = pytest.importorskip("torch", reason="torch is the reference of these tests")

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


# Programs with views and in-place updates
LEAVES = [(3,), (2, 3), (1, 3), (), (3, 3)]
RESULTS = {  # functions of two Tensors, of which most use the first only; each has new memory
    "exp": lambda lib, x, y: (-x.abs()).exp(),
    "sigmoid": lambda lib, x, y: x.sigmoid(),
    "relu": lambda lib, x, y: x.relu(),
    "square": lambda lib, x, y: x.tanh() ** 2,
    "log": lambda lib, x, y: (x.abs() + 1).log(),
    "neg": lambda lib, x, y: -x,
    "double": lambda lib, x, y: x + x,
    "sum": lambda lib, x, y: x.sum(),
    "mean": lambda lib, x, y: x.mean(-1),
    "softmax": lambda lib, x, y: x.softmax(-1),
    "max": lambda lib, x, y: x.max(),
    "max of rows": lambda lib, x, y: x.max(-1)[0],
    "clone": lambda lib, x, y: x.clone(),
    "mask": lambda lib, x, y: x[x.detach() > 1.0],
    "positions": lambda lib, x, y: x[[0, -1, 0]],
    "add": lambda lib, x, y: x + y,
    "sub": lambda lib, x, y: x - y,
    "mul": lambda lib, x, y: x.tanh() * y,
    "div": lambda lib, x, y: x / (y * y + 1),
    "matmul": lambda lib, x, y: (x @ y).tanh(),
    "where": lambda lib, x, y: lib.where(x > 1.0, x, y),
    "cat": lambda lib, x, y: lib.cat([x, y] if x.ndim == y.ndim else [x, x]),
    "stack": lambda lib, x, y: lib.stack([x, y, x]),
}
VIEWS = {
    "flatten": lambda lib, x, y: x.reshape(-1),
    "transpose": lambda lib, x, y: x.transpose(0, -1),
    "row": lambda lib, x, y: x[0],
    "rows": lambda lib, x, y: x[1:],
    "column": lambda lib, x, y: x[..., 0],
    "unsqueeze": lambda lib, x, y: x.unsqueeze(0),
    "expand": lambda lib, x, y: x.expand(2, *x.shape),
    "detach": lambda lib, x, y: x.detach(),
}
WRITES = {
    "add_": lambda lib, x, y: x.add_(0.5),
    "mul_": lambda lib, x, y: x.mul_(1.5),
    "fill_": lambda lib, x, y: x.fill_(0.25),
    "copy_": lambda lib, x, y: x.copy_(x.detach() * 0.5 + 0.1),
    "assign": lambda lib, x, y: x.__setitem__((..., 0), 0.75),
    "assign by mask": lambda lib, x, y: x.__setitem__(x.detach() > 1.0, 0.5),
}
recent = st.integers(0, 6)  # an operand, counted from the newest
computation = st.tuples(st.sampled_from([*RESULTS, *VIEWS, *VIEWS]), recent, recent)
write = st.tuples(st.sampled_from([*WRITES]), recent, recent)
backward = st.tuples(st.just("backward"), recent, recent)
programs = st.lists(st.one_of(computation, computation, write, backward), min_size=4, max_size=16)


def run_both(function, pair, other):
    """The results of one step in both libraries, or None if torch raises; then minigrad must raise too."""
    try:
        theirs = function(torch, pair.theirs, other.theirs)
    except (RuntimeError, IndexError):
        with pytest.raises((RuntimeError, IndexError, ValueError, TypeError)):
            function(mg, pair.ours, other.ours)
        return None
    try:
        return Pair(function(mg, pair.ours, other.ours), theirs)
    except ValueError as error:  # torch can fill an expanded Tensor
        if "elements of an expanded Tensor share memory" not in str(error):
            raise
        raise UnsatisfiedAssumption from error  # from here on the programs differ


def run_program(steps):
    """Run the steps in both libraries and compare each result and each gradient."""
    pairs = []
    for i, shape in enumerate(LEAVES):
        values = np.asarray(np.random.default_rng(i).normal(1.2, 0.7, shape))
        pairs.append(Pair(mg.tensor(values, requires_grad=i != 1), torch.tensor(values, requires_grad=i != 1)))
    leaves = [pair for pair in pairs if pair.ours.requires_grad]
    for name, i, j in steps:
        pair, other = pairs[-1 - i % len(pairs)], pairs[-1 - j % len(pairs)]
        if name == "backward":
            compare_gradients(pair, leaves)
        elif name in WRITES:
            if pair.theirs.grad_fn is not None:
                pair = Pair(pair.ours.detach(), pair.theirs.detach())
            with mg.no_grad(), torch.no_grad():
                run_both(WRITES[name], pair, other)
        else:
            result = run_both((RESULTS | VIEWS)[name], pair, other)
            if result is not None:
                pairs.append(result)
        for each in pairs:
            np.testing.assert_allclose(each.ours.detach().numpy(), each.theirs.detach().numpy(), **TOLERANCE)
    for pair in pairs:
        compare_gradients(pair, leaves)


def compare_gradients(pair, leaves):
    """Fail unless the gradients agree. If torch raises an error, minigrad must raise one; None counts as 0."""
    if not pair.theirs.requires_grad:
        return
    cotangent = np.asarray(np.random.default_rng(0).standard_normal(tuple(pair.theirs.shape)))
    options = dict(retain_graph=True, allow_unused=True)
    ours = lambda: mg.grad(pair.ours, [leaf.ours for leaf in leaves], mg.tensor(cotangent), **options)
    try:
        inputs = [leaf.theirs for leaf in leaves]
        expected = torch.autograd.grad(pair.theirs, inputs, torch.tensor(cotangent), **options)
    except RuntimeError as error:
        if "modified by an inplace operation" not in str(error):
            raise
        with pytest.raises(RuntimeError, match="modified in place"):
            ours()
        return
    try:
        found = ours()
    except RuntimeError as error:  # minigrad checks all inputs of an op, torch those that its VJPs use
        if "modified in place" not in str(error):
            raise
        return
    for leaf, g, exact in zip(leaves, found, expected):
        zero = np.zeros(leaf.ours.shape)
        np.testing.assert_allclose(zero if g is None else g.numpy(), zero if exact is None else exact, **TOLERANCE)


@settings(max_examples=max(settings().max_examples, 100))  # most programs are harmless
@given(programs)
def test_programs_with_views_and_writes_agree_with_torch(steps):
    run_program(steps)
