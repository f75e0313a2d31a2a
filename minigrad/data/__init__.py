"""Datasets, and the DataLoader that hands them out in batches."""

from .dataset import Dataset, Subset, TensorDataset, random_split
from .digits import Digits
from .idx import DataError, DataNotFoundError
from .images import ImageDataset, ToTensor
from .loader import DataLoader
from .mnist import MNIST, FashionMNIST
