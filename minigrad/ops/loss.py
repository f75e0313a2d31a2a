"""How wrong a prediction is, sample by sample. `nn.functional` checks targets and weighs the classes."""

from __future__ import annotations

import math

from ..op import op


@op("(...),(...)->(...)")
def cross_entropy(xp, x, q, *, dim=1):
    """ℓ = -Σ_c q_c log p_c, p = softmax(x) along dim    x scores, q weights of the classes, of one shape

    dL/dx = g (p Σ_c q_c - q): what the model believes minus what it should    dL/dq = -g log p
    """
    z = x - xp.amax(x, axis=dim, keepdims=True)
    e = xp.exp(z)
    s = xp.sum(e, axis=dim, keepdims=True)
    log_p = z - xp.log(s)
    # where: a class of no weight counts nothing, even at log 0
    y = -xp.sum(xp.where(q == 0, 0.0, q * log_p), axis=dim)
    return y, (
        lambda g: xp.expand_dims(g, dim) * (e / s * xp.sum(q, axis=dim, keepdims=True) - q),
        lambda g: -xp.expand_dims(g, dim) * log_p,
    )


@op("(...),(...)->(...)")
def label_cross_entropy(xp, x, truth, *, dim=1, reduction="mean"):
    """ℓ = -log p_label, p = softmax(x) along dim    x scores, truth bool, True at the label, of one shape

    dL/dx = g (p - truth): what the model believes minus what is so; g / N for the mean of N samples, g for their sum
    """
    x = xp.asfortranarray(x)  # each class lies in one piece: NumPy reduces few long columns sooner than many short rows
    z = x - xp.amax(x, axis=dim, keepdims=True)
    e = xp.exp(z)
    s = xp.sum(e, axis=dim, keepdims=True)
    log_s, z_label = xp.log(s), xp.where(truth, z, 0.0)
    n = math.prod(s.shape)

    def rule(g):
        g = xp.expand_dims(g, dim) if reduction == "none" else g / n if reduction == "mean" else g
        return (e / s - truth) * g

    if reduction == "none":
        return xp.squeeze(log_s, axis=dim) - xp.sum(z_label, axis=dim), (rule, None)
    y = xp.sum(log_s) - xp.sum(z_label)
    return y / n if reduction == "mean" else y, (rule, None)


@op("(...),(...)->(...)")
def nll_loss(xp, x, q, *, dim=1):
    """ℓ = -Σ_c q_c x_c along dim    x log-probabilities, q weights of the classes, of one shape

    dL/dx = -g q    dL/dq = -g x
    """
    y = -xp.sum(xp.where(q == 0, 0.0, q * x), axis=dim)
    return y, (lambda g: -xp.expand_dims(g, dim) * q, lambda g: -xp.expand_dims(g, dim) * x)


@op("(),()->()")
def mse_loss(xp, x, t):
    """ℓ = (x - t)²

    dL/dx = 2 g (x - t)    dL/dt = -2 g (x - t)
    """
    d = x - t
    return d * d, (lambda g: 2 * g * d, lambda g: -2 * g * d)


@op("(),(),()->()")
def binary_cross_entropy_with_logits(xp, x, t, pos_weight=1):
    """ℓ = -(p t log σ(x) + (1 - t) log(1 - σ(x))), p = pos_weight, computed as (1 - t) x + (1 + (p - 1) t) log(1 + e⁻ˣ)

    dL/dx = g ((1 - t) - (1 + (p - 1) t) σ(-x))    dL/dt = g ((p - 1) log(1 + e⁻ˣ) - x)
    """
    e = xp.exp(-xp.abs(x))
    softplus = xp.maximum(-x, 0) + xp.log1p(e)  # log(1 + e⁻ˣ)
    sigmoid = xp.exp(xp.minimum(-x, 0)) / (1 + e)  # σ(-x)
    weight = 1 + (pos_weight - 1) * t
    return (1 - t) * x + weight * softplus, (
        lambda g: g * ((1 - t) - weight * sigmoid),
        lambda g: g * ((pos_weight - 1) * softplus - x),
        None,
    )
