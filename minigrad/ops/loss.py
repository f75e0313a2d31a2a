"""Losses, one per sample. `nn.functional` checks the targets and weights the classes."""

from __future__ import annotations

import math

from ..autograd.op import op


@op("(...),(...)->(...)")
def cross_entropy(xp, x, q, *, dim=1):
    """ℓ = -Σ_c q_c log p_c, p = softmax(x) along dim

    Gradients:
        dL/dx = g (p Σ_c q_c - q)
        dL/dq = -g log p

    Shape:
        scores x (N, C, ...), weights of the classes q like x -> ℓ without the axis dim
    """
    z = x - xp.amax(x, axis=dim, keepdims=True)
    e = xp.exp(z)
    s = xp.sum(e, axis=dim, keepdims=True)
    log_p = z - xp.log(s)
    # where: a class of weight 0 contributes 0, even if log p = -inf
    y = -xp.sum(xp.where(q != 0, q * log_p, 0.0), axis=dim)
    return y, (
        lambda g: xp.expand_dims(g, dim) * (e / s * xp.sum(q, axis=dim, keepdims=True) - q),
        lambda g: -xp.expand_dims(g, dim) * log_p,
    )


@op("(...),(...)->(...)")
def softmax_cross_entropy(xp, x, one_hot, *, dim=1, reduction="mean"):
    """ℓ = -log p_label, p = softmax(x) along dim; their mean, their sum, or each ("none")

    Gradients:
        dL/dx = (p - one_hot) g, with g / N for the mean of N samples

    Shape:
        scores x (N, C, ...), one_hot bool like x, True at the label -> ()
    """
    x = xp.asfortranarray(x)  # each class is contiguous: NumPy reduces few long columns faster than many short rows
    z = x - xp.amax(x, axis=dim, keepdims=True)
    e = xp.exp(z)
    s = xp.sum(e, axis=dim, keepdims=True)
    log_s, z_label = xp.log(s), xp.where(one_hot, z, 0)
    n = math.prod(s.shape)

    def vjp(g):
        g = xp.expand_dims(g, dim) if reduction == "none" else g / n if reduction == "mean" else g
        return (e / s - one_hot) * g

    if reduction == "none":
        return xp.squeeze(log_s, axis=dim) - xp.sum(z_label, axis=dim), (vjp, None)
    y = xp.sum(log_s) - xp.sum(z_label)
    return y / n if reduction == "mean" else y, (vjp, None)


@op("(...),(...)->(...)")
def nll_loss(xp, x, q, *, dim=1):
    """ℓ = -Σ_c q_c x_c along dim

    Gradients:
        dL/dx = -g q
        dL/dq = -g x

    Shape:
        log-probabilities x (N, C, ...), weights of the classes q like x -> ℓ without the axis dim
    """
    y = -xp.sum(xp.where(q != 0, q * x, 0.0), axis=dim)
    return y, (lambda g: -xp.expand_dims(g, dim) * q, lambda g: -xp.expand_dims(g, dim) * x)


@op("(),()->()")
def mse_loss(xp, x, t):
    """ℓ = (x - t)²

    Gradients:
        dL/dx = 2 g (x - t)
        dL/dt = -2 g (x - t)
    """
    d = x - t
    return d * d, (lambda g: 2 * g * d, lambda g: -2 * g * d)


@op("(),(),()->()")
def binary_cross_entropy_with_logits(xp, x, t, pos_weight=1):
    """ℓ = p t log(1 + e⁻ˣ) + (1 - t) log(1 + eˣ), which is -(p t log σ(x) + (1 - t) log(1 - σ(x))); p = pos_weight

    Gradients:
        dL/dx = g ((1 - t) σ(x) - p t σ(-x))
        dL/dt = g ((p - 1) log(1 + e⁻ˣ) - x)
    """
    log1p_e = xp.log1p(xp.exp(-xp.abs(x)))
    softplus, softplus_of_minus = xp.maximum(x, 0) + log1p_e, xp.maximum(-x, 0) + log1p_e  # log(1 + e^±x)
    positive, negative = pos_weight * t, 1 - t
    y = xp.where(positive != 0, positive * softplus_of_minus, 0.0) + xp.where(negative != 0, negative * softplus, 0.0)

    return y, (
        lambda g: g * (negative * xp.sigmoid(x) - positive * xp.sigmoid(-x)),
        lambda g: g * ((pos_weight - 1) * softplus_of_minus - x),
        None,
    )
