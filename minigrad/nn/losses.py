"""The losses as Modules. Their formulas, arguments and errors are those of `nn.functional`."""

from __future__ import annotations

from ..autograd.tensor import Tensor
from . import functional as F
from .module import Module


class CrossEntropyLoss(Module):
    """Cross-entropy between logits and labels or probabilities; see `functional.cross_entropy`.

    The class weights are a buffer: they move with the Module and are part of its state_dict.

    Example:
        >>> import minigrad as mg
        >>> loss = mg.nn.CrossEntropyLoss()
        >>> loss(mg.tensor([[2.0, 0.0]]), mg.tensor([0]))
        tensor(0.1269)
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.reduction = F.check_reduction(reduction)
        self.label_smoothing = F.check_probability("CrossEntropyLoss", label_smoothing, "label_smoothing")

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(Module):
    """Negative log-likelihood of labels; see `functional.nll_loss`. The class weights are a buffer."""

    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str = "mean") -> None:
        self.register_buffer("weight", weight)
        self.ignore_index, self.reduction = ignore_index, F.check_reduction(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class MSELoss(Module):
    """Mean squared error; see `functional.mse_loss`."""

    def __init__(self, *, reduction: str = "mean") -> None:
        self.reduction = F.check_reduction(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, reduction=self.reduction)


class BCEWithLogitsLoss(Module):
    """Binary cross-entropy of logits; see `functional.binary_cross_entropy_with_logits`. The weights are buffers."""

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self, weight: Tensor | None = None, *, reduction: str = "mean", pos_weight: Tensor | None = None
    ) -> None:
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)
        self.reduction = F.check_reduction(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )
