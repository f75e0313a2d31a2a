"""Bugs that small autograd engines have shipped, each planted alone in the small engine.

BUGS[name] = (the engine, the requirement that has to find it, a part of it).
"""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
from helpers.small_engine import RULES, SmallEngine, Tensor, log_softmax, sigmoid, softmax, spread, with_output

BUGS = {}


def in_op(name, bug, level, part=None, **parts):
    """Let a rule replace that of an op."""

    def plant(rule):
        BUGS[bug] = (lambda: SmallEngine(**{name: rule}), level, part or name)
        return rule

    return plant


def in_engine(bug, requirement, part=""):
    """Let a class derived from the engine override a part of it."""

    def plant(cls):
        BUGS[bug] = (cls, requirement, part)
        return cls

    return plant


B, E, S, N = "arrays/broadcasting", "numbers/extremes", "scalars/functions of numbers", "numbers/nan"
F32, TIES = "numbers/float32 stays float32", "numbers/ties"

# Rules
plant = in_op
plant("div", "the divisor's VJP divides by y²", E)(
    lambda a, b: (a / b, lambda g: g / b, lambda g: -g * a / (b * b)),
)
plant("pow", "x ** 0 at 0 gives nan", E)(lambda x, p: (x**p, lambda g: g * p * x ** (p - 1)))
plant("relu", "relu(nan) is 0", N)(lambda x: (np.where(x > 0, x, 0), lambda g: g * (x > 0)))
plant("relu", "relu(-inf) is nan", N)(lambda x: (x * (x > 0), lambda g: g * (x > 0)))
plant("relu", "relu at 0 gets 2", "numbers/kinks")(
    lambda x: (np.maximum(x, 0), lambda g: g * (x > 0) + 2 * g * (x == 0))
)
plant("sigmoid", "sigmoid(-1000) is nan", E)(
    with_output(lambda x: np.exp(x) / (1 + np.exp(x)), lambda g, x, y: g * np.exp(-x) / (1 + np.exp(-x)) ** 2),
)
plant("tanh", "tanh from exponentials", E)(
    with_output(lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x)), lambda g, x, y: g * (1 - y * y)),
)
plant("tanh", "tanh's VJP takes x", S)(with_output(np.tanh, lambda g, x, y: g * (1 - x * x)))
plant("softplus", "softplus(1000) is inf", E)(
    with_output(lambda x: np.log(1 + np.exp(x)), lambda g, x, y: g * sigmoid(x))
)
plant("log", "log(x + 1e-6)", E)(lambda x: (np.log(x + 1e-6), lambda g: g / (x + 1e-6)))
plant("softmax", "softmax without the maximum", E)(
    lambda x, dim: (
        np.exp(x) / np.exp(x).sum(axis=dim, keepdims=True),
        RULES["softmax"](x, dim)[1],
    ),
)
plant("softmax", "softmax with a backward of 0", "network/softmax")(lambda x, dim: (softmax(x, dim), lambda g: 0 * g))
plant("softmax", "dim or -1", "network/softmax")(
    lambda x, dim: (
        softmax(x, dim or -1),
        lambda g: RULES["softmax"](x, dim or -1)[1](g),
    ),
)
plant("log_softmax", "log of softmax", E)(lambda x, dim: (np.log(softmax(x, dim)), log_softmax(x, dim)[1]))
plant("mean", "mean multiplies the axes", "arrays/reductions")(
    lambda x, dim, keep: (
        x.mean(axis=dim, keepdims=keep),
        lambda g: spread(g, x, dim, keep) / (np.prod(dim) or 1 if dim is not None else x.size),
    ),
)
plant("mean", "mean's VJP is float64", F32)(
    lambda x, dim, keep: (
        x.mean(axis=dim, keepdims=keep),
        lambda g: spread(g, x, dim, keep) * np.float64(np.size(g) / x.size),
    ),
)
plant("amax", "every tie gets all of g", TIES)(
    lambda x, dim, keep: (
        x.max(axis=dim, keepdims=keep),
        lambda g: spread(g, x, dim, keep) * (x == x.max(axis=dim, keepdims=True)),
    ),
)
plant("amax", "max hides nan", N)(
    lambda x, dim, keep: (np.nanmax(x, axis=dim, keepdims=keep), RULES["amax"](x, dim, keep)[1])
)
plant("amax", "max starts at -1", "arrays/reductions")(
    lambda x, dim, keep: (x.max(axis=dim, keepdims=keep, initial=-1e-3), RULES["amax"](x, dim, keep)[1]),
)
plant("amax", "the mask of a negative axis", "arrays/reductions")(
    lambda x, dim, keep: (
        x.max(axis=dim, keepdims=keep),
        lambda g: (
            np.reshape(g, [1 if a == dim else n for a, n in enumerate(x.shape)])
            * RULES["amax"](x, dim, keep)[1](np.ones_like(g))
            if isinstance(dim, int)
            else RULES["amax"](x, dim, keep)[1](g)
        ),
    ),
)
plant("maximum", "a tie gives 0 to both", TIES)(
    lambda a, b: (np.maximum(a, b), lambda g: g * (a > b), lambda g: g * (b > a))
)
plant("maximum", "maximum's mask is float64", F32)(
    lambda a, b: (np.maximum(a, b), lambda g: g * ((a > b) + 0.5 * (a == b)), lambda g: g * ((b > a) + 0.5 * (a == b))),
)
plant("prod", "prod divides by x", E)(
    lambda x, dim, keep: (
        np.prod(x, axis=dim, keepdims=keep),
        lambda g: spread(g * np.prod(x, axis=dim, keepdims=keep), x, dim, keep) / x,
    ),
)
plant("permute", "permute's VJP takes the same order", "arrays/shapes")(
    lambda x, dims: (x.transpose(dims), lambda g: g.transpose(dims))
)
plant("expand_dims", "expand_dims(-1) is one early", "arrays/shapes")(
    lambda x, dim: (
        np.expand_dims(x, min(dim % max(x.ndim, 1), x.ndim) if dim < 0 else dim),
        lambda g: g.reshape(x.shape),
    ),
)
plant("broadcast_to", "broadcast_to with new axes", B)(
    lambda x, shape: (np.broadcast_to(x, shape), lambda g: g if g.ndim == x.ndim else 1 / 0),
)
plant("getitem", "getitem has no gradient", "arrays/indexing")(lambda x, index: (x[index], lambda g: 0 * x))


@plant("getitem", "an index used twice counts once", "arrays/indexing")
def assigns(x, index):
    def vjp(g):
        dx = np.zeros_like(x)
        dx[index] = g
        return dx

    return x[index], vjp


plant("cat", "cat crashes in backward", "arrays/joining")(
    lambda *args: (np.concatenate(args[:-1], args[-1]), *[lambda g: g.data.grad] * (len(args) - 1))
)
plant("matmul", "matmul by dot and .T", "network/matmul", "batches")(
    lambda a, b: (np.dot(a, b), lambda g: np.dot(g, b.T), lambda g: np.dot(a.T, g)),
)
plant("matmul", "dW is not transposed", "network/matmul", "matrices")(
    lambda a, b: (a @ b, lambda g: g @ b.T, lambda g: (a.T @ g).T.reshape(b.shape))
)
plant("linear", "the bias takes the mean over the batch", "network/linear")(
    lambda x, w, b: (*RULES["linear"](x, w, b)[:3], lambda g: g.mean(tuple(range(x.ndim - 1)))),
)
plant("mse_loss", "mse divides by the batch", "network/losses")(
    lambda a, b: (
        ((a - b) ** 2).sum() / len(a),
        lambda g: 2 * g * (a - b) / len(a),
        lambda g: -2 * g * (a - b) / len(a),
    ),
)


def naive_cross_entropy(check=lambda x, labels: None, pick=None):
    """Cross-entropy without a check of the labels."""

    def rule(x, labels):
        check(x, labels)
        one_hot = (pick or (lambda x, labels: np.eye(x.shape[1])[labels]))(x, labels)
        y, vjp = log_softmax(x, 1)
        return -(one_hot * y).sum() / len(x), lambda g: vjp(-g * one_hot / len(x))

    return rule


def in_range(x, labels):
    if labels.min() < -1 or labels.max() >= x.shape[1] or labels.shape != x.shape[:1]:
        raise ValueError("labels")


LABELS = "network/the label contract"
plant("cross_entropy", "label -1 is the last class", LABELS, "label of -1")(naive_cross_entropy(in_range))
plant("cross_entropy", "label C has loss 0", LABELS, "label of C")(
    naive_cross_entropy(pick=lambda x, labels: labels.reshape(-1, 1) == np.arange(x.shape[1])),
)
plant("cross_entropy", "labels (N, 1) broadcast", LABELS, "shape (N, 1)")(
    naive_cross_entropy(pick=lambda x, labels: (labels[..., None] == np.arange(x.shape[1])).reshape(-1, x.shape[1])),
)
plant("cross_entropy", "one label for all rows", LABELS, "one label for N rows")(naive_cross_entropy())
plant("cross_entropy", "one-hot times log-softmax", E)(naive_cross_entropy())
plant("cross_entropy", "uint8 labels overflow", "network/dtypes of labels", "uint8")(
    lambda x, labels: RULES["cross_entropy"](x, labels + np.array(-1).astype(labels.dtype, casting="safe") + 1),
)
plant("cross_entropy", "not divided by N", "network/losses")(
    lambda x, labels: (
        RULES["cross_entropy"](x, labels)[0],
        lambda g: RULES["cross_entropy"](x, labels)[1](g) * len(x),
    ),
)
BCE = "binary_cross_entropy_with_logits"
plant(BCE, "log(1 - sigmoid)", E)(
    lambda x, t: (
        -(t * np.log(sigmoid(x)) + (1 - t) * np.log(1 - sigmoid(x))).mean(),
        lambda g: g * (sigmoid(x) - t) / x.size,
    ),
)


@plant(BCE, "the loss clips its target in place", "network/losses keep their inputs")
def clips_target(x, t):
    np.clip(t, 1e-7, 1 - 1e-7, out=t)
    return RULES[BCE](x, t)


# The engine
@in_engine("one array for both gradients of a + b", "engine/gradients share no memory", "add")
class Aliased(SmallEngine):
    def __init__(self):
        super().__init__(add=lambda a, b: (a + b, lambda g: g, lambda g: g))

    def stored(self, g):
        return g


@in_engine("weight decay after a + b", "training/changes of a gradient in place")
class AliasedDecay(Aliased):
    pass


@in_engine("a recursive topological sort", "scalars/deep graphs", "20,000 ops")
class Recursive(SmallEngine):
    def order(self, y):
        found = {}

        def visit(x):
            if x not in found:
                for each in x.inputs:
                    visit(each)
                found[x] = None

        visit(y)
        return list(found)[::-1]


@in_engine("inner gradients are kept for the next pass", "scalars/a second backward")
class Kept(SmallEngine):
    def backward(self, y, g):
        self.kept = {**getattr(self, "kept", {}), y: np.asarray(g)}
        for x in self.order(y):
            g = self.kept.get(x, 0)
            for each, vjp in zip(x.inputs, x.vjps):
                self.kept[each] = self.kept.get(each, 0) + self.unbroadcast(np.asarray(vjp(g)), each.data.shape, x.op)
            if not x.inputs:
                x.grad = g


@in_engine("inner gradients are kept for a second loss", "scalars/two losses on one graph")
class KeptForSecondLoss(Kept):
    pass


@in_engine("a second backward does nothing", "scalars/a second backward")
class Once(SmallEngine):
    def backward(self, y, g):
        super().backward(y, g)
        for x in self.order(y):
            if x.inputs:
                x.inputs = ()


@in_engine("gradients are overwritten within a pass", "scalars/a value used twice", "x·x")
class Overwritten(SmallEngine):
    def accumulate(self, before, dx):
        return dx


@in_engine("a tied matrix is overwritten", "network/weights used twice", "a @ a")
class OverwrittenMatrix(Overwritten):
    pass


@in_engine("breadth-first order", "scalars/any graph")
class BreadthFirst(SmallEngine):
    def backward(self, y, g):
        queue, grads = [y], {y: np.asarray(g)}
        while queue:
            x = queue.pop(0)
            for each, vjp in zip(x.inputs, x.vjps):
                grads[each] = grads.get(each, 0) + self.unbroadcast(np.asarray(vjp(grads[x])), each.data.shape, x.op)
                if each not in queue:
                    queue.append(each)
            if not x.inputs:
                x.grad = np.array(grads[x])


@in_engine("unbroadcast without keepdims", B, "mul")
class WithoutKeepdims(SmallEngine):
    def unbroadcast(self, g, shape, op):
        while g.ndim > len(shape):
            g = g.sum(axis=0)
        for i, n in enumerate(shape):
            if n == 1:
                g = g.sum(axis=i)
        return g


@in_engine("no unbroadcast", B, "add")
class NoUnbroadcast(SmallEngine):
    def unbroadcast(self, g, shape, op):
        return g


@in_engine("each backward discards earlier gradients", "training/accumulation", "two losses")
class Discards(SmallEngine):
    def backward(self, y, g):
        for x in self.order(y):
            x.grad = None
        super().backward(y, g)


@in_engine("no versions", "engine/changes in place")
class NoVersions(SmallEngine):
    def set_value(self, x, array):
        x.data[...] = array


@in_engine("the caller's array is kept", "engine/the caller's array")
class NoCopy(SmallEngine):
    def tensor(self, array):
        return Tensor(array)


@in_engine("float64 becomes float32", "numbers/float64 stays float64", "mul")
class Single(SmallEngine):
    def tensor(self, array):
        return Tensor(np.array(array, "float32"))


@in_engine("a Python number becomes float64", F32, "x * 2.0")
class WideNumber(SmallEngine):
    def number(self, value):
        return Tensor(np.array([value], "float64"))


@in_engine("no_grad is not left after an exception", "training/no_grad", "ends with an exception")
class NoFinally(SmallEngine):
    @contextmanager
    def no_grad(self):
        self.recording = False
        yield
        self.recording = True


@in_engine("no_grad records", "training/no_grad", "records no graph")
class NoGradRecords(SmallEngine):
    @contextmanager
    def no_grad(self):
        yield


@in_engine("Adam adds eps outside of the division", "training/optimizers", "Adam")
class AdamEps(SmallEngine):
    def adam_step(self, lr, m, v, t):
        return lr * (m / (1 - 0.9**t)) / np.sqrt(v / (1 - 0.999**t)) + 1e-8


@in_engine("Adam without bias correction", "training/optimizers", "Adam")
class AdamBias(SmallEngine):
    def adam_step(self, lr, m, v, t):
        return lr * m / (np.sqrt(v) + 1e-8)


@in_engine("momentum is added to lr", "training/optimizers", "SGD with momentum")
class DampedMomentum(SmallEngine):
    def sgd(self, params, lr, momentum):
        return super().sgd(params, lr * (1 - momentum), momentum)


@in_engine("a parameter without a gradient ends the step", "training/optimizers", "SGD")
class NeedsGradients(SmallEngine):
    def sgd(self, params, lr, momentum):
        right = super().sgd(params, lr, momentum)

        def step():
            assert all(p.grad is not None for p in params)
            right.step()

        return SimpleNamespace(step=step)


@in_engine("a reference cycle", "engine/memory")
class Cycle(SmallEngine):
    def apply(self, name, tensors, options):
        y = super().apply(name, tensors, options)
        y.itself = lambda: y
        return y


@in_engine("an order by address", "engine/the same bits")
class ByAddress(SmallEngine):
    def order(self, y):
        found, seen = [], set()

        def visit(x):
            if x not in seen:
                seen.add(x)
                for each in set(x.inputs):
                    visit(each)
                found.append(x)

        visit(y)
        return found[::-1]


@in_engine("a tape shared by threads", "engine/threads")
class SharedTape(SmallEngine):
    tape = ()

    def apply(self, name, tensors, options):
        y = super().apply(name, tensors, options)
        self.tape = [*self.tape, y]
        return y

    def order(self, y):
        tape, self.tape = set(self.tape), []
        return [x for x in super().order(y) if x in tape or not x.inputs]


@in_engine("a mode stays on after an exception", "engine/exceptions")
class ModeLeaks(SmallEngine):
    def vjp(self, function, arrays, cotangent):
        if not self.recording:
            return np.float64(6), [None for _ in arrays]
        self.recording, xs = True, [self.tensor(array) for array in arrays]
        try:
            y = function(*xs)
        except KeyError:
            self.recording = False
            raise
        self.backward(y, cotangent(y.data))
        return y.data, [x.grad for x in xs]


@in_engine("the VJP clips g", "engine/linear in g", "exp")
class Clips(SmallEngine):
    def __init__(self):
        super().__init__(exp=with_output(np.exp, lambda g, x, y: np.clip(g, -100, 100) * y))


@in_engine("relu writes to its input", "engine/inputs stay as they are", "relu")
class InPlaceRelu(SmallEngine):
    def __init__(self):
        super().__init__(relu=lambda x: (np.maximum(x, 0, out=x), lambda g: g * (x > 0)))


@in_engine("a VJP writes to g", "engine/inputs stay as they are", "mul")
class WritesToG(SmallEngine):
    def __init__(self):
        def multiply(a, b):
            def for_b(g):
                g *= a
                return g

            return a * b, lambda g: g * b, for_b

        super().__init__(mul=multiply)


@in_engine("shapes that do not fit are cut", "arrays/shapes that do not fit", "add")
class Cuts(SmallEngine):
    def __init__(self):
        def add(a, b):
            n = min(np.size(a), np.size(b))
            return (a + b if a.ndim * b.ndim == 0 or len(a) == len(b) else a[:n] + b[:n]), lambda g: g, lambda g: g

        super().__init__(add=add)


@in_engine("empty arrays raise", "arrays/empty arrays", "sum")
class Empty(SmallEngine):
    def __init__(self):
        def total(x, dim, keep):
            return RULES["sum"](x if x.size else x[0], dim, keep)

        super().__init__(sum=total)


@in_engine("where never sums over broadcast axes", B, "where")
class WhereWithoutSum(SmallEngine):
    def unbroadcast(self, g, shape, op):
        return g if op == "where" else super().unbroadcast(g, shape, op)


@in_engine("sum gives a read-only view", "engine/gradients can be written to", "sum")
class View(SmallEngine):
    def __init__(self):
        super().__init__(sum=lambda x, dim, keep: (x.sum(axis=dim, keepdims=keep), lambda g: spread(g, x, dim, keep)))

    def stored(self, g):
        return g
