"""Further losses as Modules. Their formulas are those of `nn.functional`."""

from __future__ import annotations

from typing import Any

from ..autograd.tensor import Tensor
from . import functional as F
from .module import Module


class Loss(Module):
    """Base class: the function of this loss, with the options as attributes."""

    function: Any = None
    options: tuple[str, ...] = ()

    def __init__(self, *, reduction: str = "mean") -> None:
        self.reduction = reduction if reduction == "batchmean" else F.check_reduction(reduction)

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        options = {name: getattr(self, name) for name in (*self.options, "reduction")}
        return type(self).function(*inputs, **named, **options)


class L1Loss(Loss):
    """|input - target|"""

    function = staticmethod(F.l1_loss)


class SmoothL1Loss(Loss):
    """d² / 2 beta if |d| < beta, else |d| - beta / 2; see `functional.smooth_l1_loss`."""

    function, options = staticmethod(F.smooth_l1_loss), ("beta",)

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.beta = beta


class HuberLoss(Loss):
    """d² / 2 if |d| < delta, else delta (|d| - delta / 2); see `functional.huber_loss`."""

    function, options = staticmethod(F.huber_loss), ("delta",)

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta


class BCELoss(Loss):
    """Binary cross-entropy of probabilities; see `functional.binary_cross_entropy`. The weight is a buffer."""

    function, options = staticmethod(F.binary_cross_entropy), ("weight",)
    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.register_buffer("weight", weight)


class KLDivLoss(Loss):
    """Kullback-Leibler divergence from log-probabilities; see `functional.kl_div`."""

    function, options = staticmethod(F.kl_div), ("log_target",)

    def __init__(self, *, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction=reduction)
        self.log_target = log_target


class PoissonNLLLoss(Loss):
    """Negative log-likelihood of a Poisson distribution; see `functional.poisson_nll_loss`."""

    def __init__(
        self, log_input: bool = True, full: bool = False, *, eps: float = 1e-8, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction=reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def forward(self, log_input: Tensor, target: Tensor) -> Tensor:  # type: ignore[override]
        return F.poisson_nll_loss(log_input, target, self.log_input, self.full, eps=self.eps, reduction=self.reduction)


class GaussianNLLLoss(Loss):
    """Negative log-likelihood of a normal distribution; see `functional.gaussian_nll_loss`."""

    function, options = staticmethod(F.gaussian_nll_loss), ("full", "eps")

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full, self.eps = full, eps


class SoftMarginLoss(Loss):
    """log(1 + e^(-t x)) for targets of 1 or -1"""

    function = staticmethod(F.soft_margin_loss)


class HingeEmbeddingLoss(Loss):
    """x for targets of 1, max(0, margin - x) for -1"""

    function, options = staticmethod(F.hinge_embedding_loss), ("margin",)

    def __init__(self, margin: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin = margin


class MarginRankingLoss(Loss):
    """max(0, -t (x₁ - x₂) + margin) for targets of 1 or -1"""

    function, options = staticmethod(F.margin_ranking_loss), ("margin",)

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin = margin


class CosineSimilarity(Module):
    """x · y / (|x| |y|) along dim"""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The p-norm of x - y + eps over the last axis."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class CosineEmbeddingLoss(MarginRankingLoss):
    """1 - cos(x₁, x₂) for targets of 1, max(0, cos(x₁, x₂) - margin) for -1"""

    function = staticmethod(F.cosine_embedding_loss)


class TripletMarginLoss(Loss):
    """max(0, |a - p| - |a - n| + margin)"""

    function, options = staticmethod(F.triplet_margin_loss), ("margin", "p", "eps")

    def __init__(self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin, self.p, self.eps = margin, p, eps
