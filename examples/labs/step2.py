# Step 2: arrays


def sum(x, dim=None, keepdim=False):
    def vjp(g):
        raise NotImplementedError("step 2b: dL/dx, of the shape of x")

    return Tensor(x.data.sum(axis=dim, keepdims=keepdim), (x,), (vjp,))


def mean(x, dim=None, keepdim=False):
    total = sum(x, dim, keepdim)
    raise NotImplementedError("step 2c: divide by the number of elements in each sum")


def reshape(x, shape):
    raise NotImplementedError("step 2d: the new shape, and the VJP back to the old one")


def transpose(x, dim0, dim1):
    return Tensor(x.data.swapaxes(dim0, dim1), (x,), (lambda g: g.swapaxes(dim0, dim1),))


def permute(x, dims):
    raise NotImplementedError("step 2e: the new order of the axes; the VJP needs the inverse order")


def getitem(x, index):
    def vjp(g):
        dx = np.zeros_like(x.data)
        raise NotImplementedError("step 2f: add g to dx at the index, where an element may occur twice")

    return Tensor(x.data[index], (x,), (vjp,))


Tensor.__getitem__ = getitem
