"""torch's other functions and methods, composed of the ops: they need no gradients of their own.

Each function of `__all__` is also a public name of minigrad, and each of METHODS a method of Tensor.
"""

from ..autograd.methods import TensorMethods
from ..ops import argsort, cos, cumsum, floor, round, sin
from . import activation, conversion, creation, elementwise, inplace, linear_algebra, selection, statistics
from .activation import celu, erf, logit, selu
from .creation import *  # noqa: F403
from .elementwise import *  # noqa: F403
from .linear_algebra import *  # noqa: F403
from .selection import *  # noqa: F403
from .statistics import *  # noqa: F403

OPS = (argsort, cos, cumsum, erf, floor, round, sin)
ROOMS = (activation, conversion, creation, elementwise, inplace, linear_algebra, selection, statistics)
__all__ = [op.__name__ for op in OPS] + ["celu", "logit", "selu"]
__all__ += [name for room in ROOMS if room is not activation for name in room.__all__]

for _op in OPS:
    setattr(TensorMethods, _op.__name__, _op)
for _room in ROOMS:
    for _name in _room.METHODS:
        setattr(TensorMethods, _name, getattr(_room, _name))
