# Step 3: matmul and linear


def matmul(a, b):
    if b.data.ndim == 1:
        return matmul(a, b[:, None])[..., 0]
    if a.data.ndim == 1:
        return matmul(a[None], b)[..., 0, :]

    def vjp_a(g):
        raise NotImplementedError("step 3a: dL/da = G Bᵀ, for the last two axes")

    def vjp_b(g):
        raise NotImplementedError("step 3b: dL/db = Aᵀ G, for the last two axes")

    return Tensor(a.data @ b.data, (a, b), (vjp_a, vjp_b))


def linear(x, weight, bias):
    """x Wᵀ + b; weight has the shape (outputs, inputs)."""
    raise NotImplementedError("step 3c: by the ops that you have")


Tensor.__matmul__ = matmul
