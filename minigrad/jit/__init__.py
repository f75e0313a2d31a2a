"""`mg.replay`: trace a training step once, compile it to a NumPy function, run that from then on. In JAX: `jit`.

    tracer    arrays that record what is done with them
    program   the recorded calls, and the source that they compile to
    loads     the names that the code of a function loads
    origin    whether code is the user's, of a pure library, or impure
    reads     a search for all that the Python code of a step can read
    guards    the conditions under which a trace may be replayed
    replay    a cache of compiled steps

**What is compiled.** While shapes stay the same, each step runs the same NumPy operations: the program that one
would write by hand. It takes the inputs x and the parameters p, and returns the loss and the gradients. Constants c are
listed on top, and arrays are deleted after their last use.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> from minigrad.nn import functional as F
    >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> step = mg.replay(model, lambda x, target: F.mse_loss(model(x), target))
    >>> loss = step(mg.rand(8, 4), mg.rand(8, 1))
    >>> print(step.source)
    # c0: (8, 1) float32
    def step(x0, x1, p0, p1, p2, p3):
        v0 = p0.T
        v1 = x0 @ v0; del v0
        v2 = v1 + p1; del v1
        v3 = xp.maximum(v2, 0); del v2
        v4 = p2.T
        v5 = v3 @ v4; del v4
        v6 = v5 + p3; del v5
        v7 = v6 - x1; del v6
        v8 = v7 * v7
        v9 = xp.sum(v8, axis=None, keepdims=False); del v8
        v10 = v9 / 8; del v9
        v11 = c0 * v7; del v7
        v12 = v11 @ p2
        v13 = v3.T
        v14 = v13 @ v11; del v13
        v15 = v14.T; del v14
        v16 = xp.column_sum(v11); del v11
        v17 = v3 != 0; del v3
        v18 = xp.where(v17, v12, 0.0); del v12, v17
        v19 = x0.T
        v20 = v19 @ v18; del v19
        v21 = v20.T; del v20
        v22 = xp.column_sum(v18); del v18
        v23 = xp.asarray(v10); del v10
        return v23, v21, v22, v15, v16,

**Why a replay is sound.** A replay gives the bits of eager execution, or raises. The calls of a step can depend on:

1. The arrays: their shapes, dtypes, strides and devices, which of them require a gradient, and whether a Tensor is
   passed twice. These are guards. They cannot depend on the value of an element: the trace is refused if Python reads
   one. If the shape of a result depends on values, as in `x[mask]`, the compiled step checks it, and on another shape
   the step is traced again.
2. What Python code reads: variables, attributes, items, code. `reads` finds all that the code of a step can reach, and
   guards compare it by value or identity. If the step itself changes any of it, the trace is not kept.
3. Anything else: random numbers, the time, files, iterators. These have no guard, and are refused by name.

Arrays other than inputs and parameters are refused. What a step modifies in place, a replay modifies, too, and counts
the version. A trace changes nothing that others can see: in the tracing thread, and only there, a parameter reads as
its tracer. If a trace is refused, inputs and parameters have their old values.
"""
