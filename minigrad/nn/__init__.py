"""Modules: layers, losses and containers. `nn.functional` has layers and losses as functions."""

from typing import TYPE_CHECKING, Any

from ..left_out import left_out as _left_out
from . import functional, init, utils
from .activations import (
    CELU,
    ELU,
    GELU,
    GLU,
    SELU,
    Hardshrink,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LogSigmoid,
    Mish,
    PReLU,
    ReLU6,
    SiLU,
    Softmin,
    Softshrink,
    Softsign,
    Tanhshrink,
    Threshold,
)
from .containers import ModuleDict, ParameterList
from .embedding import Bilinear, Embedding, LazyLinear, Unflatten
from .layers import (
    Dropout,
    Flatten,
    Identity,
    LeakyReLU,
    Linear,
    LogSoftmax,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Softplus,
    Tanh,
)
from .losses import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss, NLLLoss
from .module import Module, ModuleList, Parameter
from .normalization import BatchNorm1d, LayerNorm, RMSNorm
from .simple_losses import (
    BCELoss,
    CosineEmbeddingLoss,
    CosineSimilarity,
    GaussianNLLLoss,
    HingeEmbeddingLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MarginRankingLoss,
    PairwiseDistance,
    PoissonNLLLoss,
    SmoothL1Loss,
    SoftMarginLoss,
    TripletMarginLoss,
)

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        raise _left_out("torch.nn", name)
