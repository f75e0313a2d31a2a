"""torchvision's names at the size of minigrad: `from minigrad.vision import datasets, transforms`."""

from . import datasets, transforms
