"""The functions between the layers, and softmax, which makes probabilities of scores."""

from __future__ import annotations

from numbers import Real

from ..op import op


@op("()->()")
def relu(xp, x):
    """y = max(x, 0)

    dL/dx = g where x > 0, else 0 (also at 0)
    """
    y = xp.maximum(x, 0)
    return y, (lambda g: g * (y != 0),)


@op("()->()")
def leaky_relu(xp, x, *, negative_slope=0.01):
    """y = x where x > 0, else negative_slope · x

    dL/dx = g where x > 0, else negative_slope · g
    """
    if not isinstance(negative_slope, Real):
        raise TypeError(f"expected a number as negative_slope, got {type(negative_slope).__name__}")
    negative_slope = float(negative_slope)
    y = xp.where(x > 0, x, negative_slope * x)
    return y, (lambda g: xp.where(x > 0, g, negative_slope * g),)


@op("()->()", floating=True)
def sigmoid(xp, x):
    """y = 1 / (1 + e⁻ˣ), computed without overflow as e^min(x, 0) / (1 + e^-|x|)

    dL/dx = g y (1 - y)
    """
    y = xp.exp(xp.minimum(x, 0)) / (1 + xp.exp(-xp.abs(x)))
    return y, (lambda g: g * (y * (1 - y)),)


@op("()->()", floating=True)
def tanh(xp, x):
    """y = (eˣ - e⁻ˣ) / (eˣ + e⁻ˣ)

    dL/dx = g (1 - y²)
    """
    y = xp.tanh(x)
    return y, (lambda g: g * (1 - y * y),)


@op("()->()", floating=True)
def softplus(xp, x, *, beta=1.0, threshold=20.0):
    """y = log(1 + e^βx) / β, a smooth relu; x itself where βx > threshold, as in torch

    dL/dx = g / (1 + e^-βx), and g where βx > threshold
    """
    if not (isinstance(beta, Real) and isinstance(threshold, Real)):
        raise TypeError(f"expected numbers as beta and threshold, got {beta!r} and {threshold!r}")
    beta, threshold = float(beta), float(threshold)
    z = beta * x
    e = xp.exp(-xp.abs(z))
    y = xp.where(z > threshold, x, (xp.maximum(z, 0) + xp.log1p(e)) / beta)
    slope = xp.exp(xp.minimum(z, 0)) / (1 + e)
    return y, (lambda g: xp.where(z > threshold, g, g * slope),)


@op("(...)->(...)", floating=True)
def softmax(xp, x, *, dim):
    """yᵢ = e^xᵢ / Σⱼ e^xⱼ along dim; the largest x is subtracted first, which changes nothing and cannot overflow

    dL/dx = y (g - Σⱼ gⱼ yⱼ)
    """
    e = xp.exp(x - xp.amax(x, axis=dim, keepdims=True))
    y = e / xp.sum(e, axis=dim, keepdims=True)
    return y, (lambda g: y * (g - xp.sum(g * y, axis=dim, keepdims=True)),)


@op("(...)->(...)", floating=True)
def log_softmax(xp, x, *, dim):
    """yᵢ = xᵢ - log Σⱼ e^xⱼ along dim, the logarithm of softmax

    dL/dx = g - e^y Σⱼ gⱼ
    """
    z = x - xp.amax(x, axis=dim, keepdims=True)
    y = z - xp.log(xp.sum(xp.exp(z), axis=dim, keepdims=True))
    return y, (lambda g: g - xp.exp(y) * xp.sum(g, axis=dim, keepdims=True),)
