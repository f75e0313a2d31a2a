"""Ops that rearrange elements. The VJP applies the inverse rearrangement to the gradient."""

from __future__ import annotations

import math

from .. import backend
from ..autograd.errors import ShapeError
from ..autograd.op import op


@op("(...)->(...)")
def reshape(xp, x, *, shape):
    """y = the elements of x in row-major order, in another shape; one size may be -1

    Gradients:
        dL/dx = g in the shape of x
    """
    try:
        y = xp.reshape(x, shape)
    except ValueError:
        raise ShapeError(
            f"the {math.prod(x.shape)} elements of shape {x.shape} do not fit into the shape {shape}"
        ) from None
    return y, (lambda g: xp.reshape(g, x.shape),)


@op("(...)->(...)")
def flatten(xp, x, *, start_dim=0, end_dim=-1):
    """y = x with the axes start_dim to end_dim made one: (N, 1, 28, 28) -> (N, 784) from start_dim=1

    Gradients:
        dL/dx = g in the shape of x
    """
    ndim = max(x.ndim, 1)
    first, last = start_dim % ndim, end_dim % ndim
    if not (-ndim <= start_dim < ndim and -ndim <= end_dim < ndim and first <= last):
        raise IndexError(f"start_dim {start_dim} to end_dim {end_dim} are not axes of a Tensor with {x.ndim} axes")
    shape = (*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :])
    return xp.reshape(x, shape), (lambda g: xp.reshape(g, x.shape),)


@op("(...)->(...)")
def expand_dims(xp, x, *, dim):
    """y = x with a new axis of size 1 at `dim`

    Gradients:
        dL/dx = g in the shape of x
    """
    return xp.expand_dims(x, dim), (lambda g: xp.reshape(g, x.shape),)


@op("(...)->(...)")
def squeeze(xp, x, *, dim=None):
    """y = x without its axes of size 1; with dim, without those of them in dim

    Gradients:
        dL/dx = g in the shape of x
    """
    ndim = max(x.ndim, 1)  # in torch a 0-d Tensor has the axis 0, or -1
    axes = range(ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    if any(not -ndim <= axis < ndim for axis in axes):
        raise IndexError(f"dim {dim} is not an axis of a Tensor with {x.ndim} axes")
    axes = [axis % ndim for axis in axes]
    shape = tuple(n for i, n in enumerate(x.shape) if not (i in axes and n == 1))
    return xp.reshape(x, shape), (lambda g: xp.reshape(g, x.shape),)


@op("(...)->(...)")
def transpose(xp, x, *, dim0, dim1):
    """y = x with the axes dim0 and dim1 exchanged

    Gradients:
        dL/dx = g with the same axes exchanged
    """
    if x.ndim == 0 and {dim0, dim1} <= {0, -1}:  # as in `squeeze`
        return xp.reshape(x, ()), (lambda g: g,)
    return xp.swapaxes(x, dim0, dim1), (lambda g: xp.swapaxes(g, dim0, dim1),)


@op("(...)->(...)")
def permute(xp, x, *, dims):
    """y = x with its axes in the order dims: y.shape[i] = x.shape[dims[i]]

    Gradients:
        dL/dx = g with its axes in the inverse order
    """
    inverse = sorted(range(len(dims)), key=lambda i: dims[i] % max(x.ndim, 1))
    return xp.transpose(x, dims), (lambda g: xp.transpose(g, inverse),)


@op("()->()")
def broadcast_to(xp, x, *, shape):
    """y = x, repeated along axes of size 1 and new leading axes

    Gradients:
        dL/dx = Σ g over the repetitions
    """
    return xp.broadcast_to(x, shape), (lambda g: g,)  # @op undoes broadcasting


@op("(...)->(...)")
def getitem(xp, x, *, index):
    """y = x[index]

    Gradients:
        dL/dx = 0, with g added at index: an element selected twice gets both gradients
    """
    return xp.getitem(x, index), (lambda g: xp.scatter(g, x.shape, index),)


@op("(...)->(...)")
def scatter(xp, x, *, shape, index):
    """y = 0 in the given shape, with x added at index

    Gradients:
        dL/dx = g[index]
    """
    return xp.scatter(x, shape, index), (lambda g: xp.getitem(g, index),)


@op("(...)->(...)")
def cat(xp, *tensors, dim=0):
    """y = the tensors concatenated along the axis dim, the only one in which their shapes may differ

    Gradients:
        dL/dtensorᵢ = the slice of g that belongs to it
    """
    y = xp.concatenate(tensors, axis=dim)
    vjps, stop = [], 0
    for tensor in tensors:
        start, stop = stop, stop + tensor.shape[dim]
        vjps.append(lambda g, part=slice(start, stop): g[(slice(None),) * (dim % g.ndim) + (part,)])
    return y, vjps


@op("(...)->(...)")
def stack(xp, *tensors, dim=0):
    """y = tensors of one shape, stacked along a new axis dim

    Gradients:
        dL/dtensorᵢ = g at position i of that axis
    """
    vjps = [lambda g, i=i: g[(slice(None),) * (dim % g.ndim) + (i,)] for i in range(len(tensors))]
    return xp.stack(tensors, axis=dim), vjps


@op("(...)->(...)")
def move(xp, x, *, device, source):
    """y = x on another device

    Gradients:
        dL/dx = g on the device of x
    """
    return backend.to_device(x, device), (lambda g: backend.to_device(g, source),)
