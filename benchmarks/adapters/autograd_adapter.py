"""HIPS autograd."""

from importlib.metadata import version

import autograd
import autograd.numpy as anp
from autograd.differential_operators import make_vjp
from autograd.scipy.special import expit, logsumexp

from minigrad.testing.conformance import OPERATORS, Engine

reduction = lambda function: lambda x, dim, keep: function(x, axis=dim, keepdims=keep)


class Autograd(Engine):
    name = f"autograd {version('autograd')}"
    ops = {**OPERATORS, "relu": lambda x: anp.maximum(x, 0.0), "sigmoid": expit, "logsumexp": reduction(logsumexp)}
    ops |= {name: getattr(anp, name) for name in "exp log sqrt tanh abs clip maximum minimum where reshape".split()}
    ops |= {name: reduction(getattr(anp, name)) for name in ("sum", "mean", "prod", "max", "min")}
    ops |= {"amax": ops.pop("max"), "amin": ops.pop("min"), "cat": anp.concatenate, "stack": anp.stack}
    ops |= {"transpose": anp.swapaxes, "permute": anp.transpose, "expand_dims": anp.expand_dims}
    ops["broadcast_to"] = anp.broadcast_to
    constant = lambda self, array: array
    value = lambda self, x: x
    gradient_function = lambda self, f: autograd.grad(f)

    def vjp(self, function, arrays, cotangent):
        found = [make_vjp(function, i)(*arrays) for i in range(len(arrays))]
        return found[0][1], [pull_back(cotangent(y)) for pull_back, y in found]
