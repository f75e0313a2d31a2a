"""JAX, without jit."""

import os

os.environ |= {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1"}
import jax
import jax.numpy as jnp

from minigrad.testing.conformance import OPERATORS, Engine

reduction = lambda function: lambda x, dim, keep: function(x, axis=dim, keepdims=keep)


class Jax(Engine):
    name = f"JAX {jax.__version__}"
    ops = {**OPERATORS, **{name: getattr(jax.nn, name) for name in "relu sigmoid softplus softmax log_softmax".split()}}
    ops |= {name: getattr(jnp, name) for name in "exp log sqrt tanh abs maximum minimum where reshape".split()}
    ops |= {name: reduction(getattr(jnp, name)) for name in ("sum", "mean", "prod", "amax", "amin")}
    ops |= {"logsumexp": reduction(jax.nn.logsumexp), "clip": jnp.clip, "cat": jnp.concatenate, "stack": jnp.stack}
    ops |= {"transpose": jnp.swapaxes, "permute": jnp.transpose, "expand_dims": jnp.expand_dims}
    ops["broadcast_to"] = jnp.broadcast_to
    constant = lambda self, array: jnp.asarray(array)
    value = lambda self, x: x
    gradient_function = lambda self, f: jax.grad(f)

    def vjp(self, function, arrays, cotangent):
        y, pull_back = jax.vjp(function, *map(jnp.asarray, arrays))
        return y, list(pull_back(jnp.asarray(cotangent(y))))
