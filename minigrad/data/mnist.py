"""MNIST and FashionMNIST, from the files that torchvision downloads, in the folders where it puts them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

from .. import backend
from ..autograd.tensor import Tensor
from . import idx
from .idx import DataError, DataNotFoundError
from .images import ImageDataset

SIDE = 28


class MNIST(ImageDataset):
    """60,000 handwritten digits to train, or with `train=False` 10,000 to test, each 28 x 28 bytes.

    Reads the IDX files in `root/MNIST/raw`, as .gz or not, and checks magic numbers, lengths, labels and, of the .gz,
    the published MD5 sums. With `download=True` missing or damaged files are downloaded first, by torchvision. Sample i
    is (image float32 (1, 28, 28) from 0 to 1, int label), to the bit what torchvision's MNIST gives with ToTensor.
    Raises DataNotFoundError where files are missing, DataError where one is damaged or the download failed.
    """

    classes: ClassVar[list[str]] = [
        "0 - zero", "1 - one", "2 - two", "3 - three", "4 - four",
        "5 - five", "6 - six", "7 - seven", "8 - eight", "9 - nine",
    ]  # fmt: skip
    folder = "MNIST"
    _counts: ClassVar = {"train": 60_000, "t10k": 10_000}
    _md5: ClassVar = {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    }

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        transform: Callable[[Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        download: bool = False,
    ) -> None:
        self.root = os.path.expanduser(os.fspath(root))
        self.train = bool(train)
        try:
            data, targets = self._read()
        except DataError:
            if not download:
                raise
            self._download()
            data, targets = self._read()
        super().__init__(Tensor(data), Tensor(targets), transform, target_transform)

    @property
    def raw_folder(self) -> str:
        """The folder of the four files."""
        return os.path.join(self.root, self.folder, "raw")

    def _read(self) -> tuple[Any, Any]:
        """The bytes (N, 28, 28) and labels (N,) of the two files of this part, both checked."""
        part = "train" if self.train else "t10k"
        n = self._counts[part]
        data = self._read_file(f"{part}-images-idx3-ubyte", (n, SIDE, SIDE))
        targets = self._read_file(f"{part}-labels-idx1-ubyte", (n,))
        if int(targets.max()) >= len(self.classes):
            path = os.path.join(self.raw_folder, f"{part}-labels-idx1-ubyte")
            raise idx.damaged(path, f"expected labels from 0 to {len(self.classes) - 1}, got {targets.max()}")
        return data, targets.astype(backend.int64)

    def _read_file(self, name: str, shape: tuple[int, ...]) -> Any:
        for file in (f"{name}.gz", name):
            with suppress(DataNotFoundError):
                return idx.read(os.path.join(self.raw_folder, file), shape, self._md5.get(file))
        raise DataNotFoundError(
            f"{self.folder}: expected {name}.gz (or without .gz) in {os.path.abspath(self.raw_folder)}, found neither; "
            f"write {type(self).__name__}(root, download=True), which needs `pip install torchvision`, or put the four "
            f"files there: {', '.join(self._md5)}"
        )

    def _download(self) -> None:
        """Let torchvision download into a folder of its own, then move the files in, each in one step.

        So a download that breaks leaves nothing behind, and of two processes at once both find whole files.
        """
        import tempfile  # here, to keep `import minigrad` quick

        datasets = import_torchvision()
        try:
            os.makedirs(self.raw_folder, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="download-", dir=os.path.join(self.root, self.folder)) as fresh:
                downloaded = getattr(datasets, self.folder)(fresh, download=True).raw_folder
                for file in sorted(os.listdir(downloaded)):
                    os.replace(os.path.join(downloaded, file), os.path.join(self.raw_folder, file))
        except Exception as error:  # whatever torchvision, the network or the disk come up with
            reason = " ".join(str(error).split())
            raise DataError(
                f"{self.folder}: the download to {os.path.abspath(self.raw_folder)} failed: {reason}; try again, or "
                f"put the four files there: {', '.join(self._md5)}"
            ) from error


class FashionMNIST(MNIST):
    """60,000 pictures of clothes to train, or with `train=False` 10,000 to test, each 28 x 28 bytes.

    Read from `root/FashionMNIST/raw`; all else as MNIST.
    """

    classes: ClassVar[list[str]] = [
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
        "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ]  # fmt: skip
    folder = "FashionMNIST"
    _md5: ClassVar = {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }


def import_torchvision() -> Any:
    """The module torchvision.datasets, or DataError saying what to do where it cannot be imported."""
    try:
        return importlib.import_module("torchvision.datasets")
    except ModuleNotFoundError as error:
        raise DataError(
            f"download=True needs torchvision, which cannot be imported ({error}): pip install torchvision"
        ) from error
    except Exception as error:  # "operator torchvision::nms does not exist": a build for another torch
        raise DataError(
            f"download=True needs torchvision, which fails to import ({error}): torch and torchvision here do not fit "
            "each other; install both from one place, such as "
            "pip install --force-reinstall torch torchvision --index-url https://download.pytorch.org/whl/cpu"
        ) from error
