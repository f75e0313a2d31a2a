"""The image datasets under torchvision's name. Images are Tensors (1, 28, 28) from 0 to 1, also without ToTensor."""

from ..data.mnist import EMNIST, KMNIST, MNIST, FashionMNIST

__all__ = ["EMNIST", "KMNIST", "MNIST", "FashionMNIST"]
