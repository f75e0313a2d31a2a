"""Activations, and softmax, which turns scores into probabilities."""

from __future__ import annotations

from numbers import Real

from ..autograd.op import op
from .reduction import axes_of


@op("()->()")
def relu(xp, x):
    """y = max(x, 0)

    Gradients:
        dL/dx = g where x > 0, else 0 (also at 0)
    """
    y = xp.maximum(x, 0)
    return y, (lambda g: xp.where(y != 0, g, 0.0),)


@op("()->()", float_only=True)
def leaky_relu(xp, x, *, negative_slope=0.01):
    """y = x where x > 0, else negative_slope · x

    Gradients:
        dL/dx = g where x > 0, else negative_slope · g
    """
    if not isinstance(negative_slope, Real):
        raise TypeError(f"expected a number as negative_slope, got {type(negative_slope).__name__}")
    negative_slope = float(negative_slope)
    y = xp.where(x > 0, x, negative_slope * x)
    return y, (lambda g: xp.where(x > 0, g, negative_slope * g),)


@op("()->()", float_only=True)
def sigmoid(xp, x):
    """y = 1 / (1 + e⁻ˣ)

    Gradients:
        dL/dx = g y (1 - y)
    """
    y = xp.sigmoid(x)
    return y, (lambda g: g * (y * (1 - y)),)


@op("()->()", float_only=True)
def tanh(xp, x):
    """y = (eˣ - e⁻ˣ) / (eˣ + e⁻ˣ)

    Gradients:
        dL/dx = g (1 - y²)
    """
    y = xp.tanh(x)
    return y, (lambda g: g * (1 - y * y),)


@op("()->()", float_only=True)
def softplus(xp, x, *, beta=1.0, threshold=20.0):
    """y = log(1 + e^βx) / β, a smooth relu; x itself where βx > threshold, as in torch

    Gradients:
        dL/dx = g / (1 + e^-βx), and g where βx > threshold
    """
    if not (isinstance(beta, Real) and isinstance(threshold, Real)):
        raise TypeError(f"expected numbers as beta and threshold, got {beta!r} and {threshold!r}")
    beta, threshold = float(beta), float(threshold)
    z = beta * x
    y = xp.where(z > threshold, x, (xp.maximum(z, 0) + xp.log1p(xp.exp(-xp.abs(z)))) / beta)
    return y, (lambda g: xp.where(z > threshold, g, g * xp.sigmoid(z)),)


@op("(...)->(...)", float_only=True)
def softmax(xp, x, *, dim):
    """yᵢ = e^xᵢ / Σⱼ e^xⱼ along dim, computed on x - max x, which gives the same and cannot overflow

    Gradients:
        dL/dx = y (g - Σⱼ gⱼ yⱼ)
    """
    dim = axes_of(x, dim)
    e = xp.exp(x - xp.amax(x, axis=dim, keepdims=True)) if 0 not in x.shape else x
    y = e / xp.sum(e, axis=dim, keepdims=True)
    return y, (lambda g: y * (g - xp.sum(g * y, axis=dim, keepdims=True)),)


@op("(...)->(...)", float_only=True)
def log_softmax(xp, x, *, dim):
    """yᵢ = xᵢ - log Σⱼ e^xⱼ along dim, the logarithm of softmax

    Gradients:
        dL/dx = g - e^y Σⱼ gⱼ
    """
    dim = axes_of(x, dim)
    z = x - xp.amax(x, axis=dim, keepdims=True) if 0 not in x.shape else x
    y = z - xp.log(xp.sum(xp.exp(z), axis=dim, keepdims=True))
    return y, (lambda g: g - xp.exp(y) * xp.sum(g, axis=dim, keepdims=True),)
