"""Datasets, and the DataLoader that hands them out in batches. In torch: `utils.data`."""

from .dataset import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset, random_split
from .digits import Digits
from .idx import DataError, DataNotFoundError
from .images import ImageDataset, ToTensor
from .loader import DataLoader
from .loader import collate as default_collate
from .mnist import EMNIST, KMNIST, MNIST, FashionMNIST
from .samplers import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
