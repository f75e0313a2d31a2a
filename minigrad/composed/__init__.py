"""torch's other functions and methods, composed of the ops: they need no gradients of their own.

Each function of `__all__` is also a public name of minigrad, and each of METHODS a method of Tensor.
"""

from ..autograd.methods import TensorMethods
from . import conversion
from .conversion import *  # noqa: F403

ROOMS = (conversion,)
__all__ = [name for room in ROOMS for name in room.__all__]

for _room in ROOMS:
    for _name in _room.METHODS:
        setattr(TensorMethods, _name, getattr(_room, _name))
