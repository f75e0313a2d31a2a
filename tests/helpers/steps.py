"""Models, batches and losses for the tests of replay, and the comparison of a replayed step with eager execution."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.autograd.methods import OPS
from minigrad.autograd.op import op, tensor_namespace
from minigrad.nn import functional as F


def model_of(device="cpu", dtype="float32", *more):
    mg.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), *more, nn.Linear(5, 4)).to(device, dtype=dtype)


def batches(count, device="cpu", dtype="float32", rows=8):
    mg.manual_seed(1)
    return [(mg.randn(rows, 6, dtype=dtype).to(device), mg.randint(0, 4, (rows,)).to(device)) for _ in range(count)]


def host(tensor):
    return tensor.detach().cpu().numpy()


def bits(tensors):
    """The bytes of each; nan is nan, whatever its sign."""
    return [np.where(np.isnan(array), np.nan, array).tobytes() for array in map(host, tensors)]


def eager(model, function):
    def step(*inputs):
        loss = function(*inputs)
        loss.backward()
        return loss

    return step


def after(model, step, inputs):
    """The bits of the loss and of all gradients after one step that starts without gradients."""
    tensors = [*model.parameters(), *inputs]
    for tensor in tensors:
        tensor.grad = None
    loss = step(*inputs)
    return bits([loss]), [None if tensor.grad is None else bits([tensor.grad]) for tensor in tensors]


def agrees(model, function, step, *inputs):
    """Whether a replayed step gives the loss and gradients of eager execution."""
    return after(model, step, inputs) == after(model, eager(model, function), inputs)


def trained(make_step, function_of, batches, optimizer=optim.SGD, **options):
    """The bits of all losses and of the weights after a training with that kind of step."""
    device, dtype = batches[0][0].device, batches[0][0].dtype
    model = model_of(device, dtype)
    step = make_step(model, function_of(model))
    sgd = optimizer(model.parameters(), lr=0.1, **options)
    losses = []
    for batch in batches:
        losses.append(step(*batch))
        sgd.step()
        sgd.zero_grad()
    return bits(losses), bits(model.parameters())


def counted(function):
    """The function, and a list that grows with each of its calls."""
    calls = []

    def call(*inputs):
        calls.append(1)
        return function(*inputs)

    return call, calls


LOSSES = {
    "cross-entropy": lambda model: lambda x, y: F.cross_entropy(model(x), y),
    "sum of cross-entropies": lambda model: lambda x, y: F.cross_entropy(model(x), y, reduction="sum"),
    "smoothed": lambda model: lambda x, y: F.cross_entropy(model(x), y, label_smoothing=0.1),
    "nll": lambda model: lambda x, y: F.nll_loss(F.log_softmax(model(x), 1), y),
    "one-hot": lambda model: lambda x, y: F.mse_loss(F.softmax(model(x), 1), F.one_hot(y, 4).to(dtype=x.dtype)),
    "model used twice": lambda model: lambda x, y: F.cross_entropy(model(x) + model(-x), y),
    "penalty": lambda model: lambda x, y: F.cross_entropy(model(x), y) + sum((p * p).sum() for p in model.parameters()),
    "stacked": lambda model: lambda x, y: F.cross_entropy(mg.cat([model(x[:3]), model(x[3:])]), y),
    "largest": lambda model: lambda x, y: (model(x).max(1).values + model(x).min(1).values).sum(),
    "no input": lambda model: lambda x, y: sum(p.sum() for p in model.parameters()),
}


@contextmanager
def op_of(f):
    """An op of f, for a while."""

    def body(xp, x):
        """y = f(x), with a gradient that is not that of f"""
        return f(xp, x), (lambda g: g,)

    try:
        yield op("(i)->(i)")(body)
    finally:
        del OPS["body"]
        del tensor_namespace.body
