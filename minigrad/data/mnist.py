"""MNIST, and the datasets in its format, read from the files and folders that torchvision uses."""

from __future__ import annotations

import importlib
import os
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, ClassVar

from .. import backend
from ..autograd.tensor import Tensor
from ..files import reading, write_atomically
from . import idx
from .idx import DataError, DataNotFoundError
from .images import ImageDataset

SIDE = 28


class MNIST(ImageDataset):
    """60,000 handwritten digits to train, 10,000 to test, each of 28 x 28 bytes.

    Sample i is (image, label), a float32 Tensor (1, 28, 28) from 0 to 1 and an int: bit-identical to torchvision's
    MNIST with ToTensor. The files in `root/MNIST/raw`, compressed or not, are checked: magic numbers, sizes, labels
    and, if compressed, the published MD5 sums.

    Args:
        root: the folder of the dataset folders.
        train: False selects the test set.
        transform: applied to the image of each sample.
        target_transform: applied to the label of each sample.
        download: download missing or corrupt files with torchvision.

    Raises:
        DataNotFoundError: a file is missing.
        DataError: a file is corrupt, or the download failed.
    """

    classes: ClassVar[list[str]] = [
        "0 - zero", "1 - one", "2 - two", "3 - three", "4 - four",
        "5 - five", "6 - six", "7 - seven", "8 - eight", "9 - nine",
    ]  # fmt: skip
    folder = "MNIST"
    _torchvision_options: Mapping[str, str] = {}
    _counts: Mapping[str, int] = {"train": 60_000, "t10k": 10_000}
    _md5: Mapping[str, str | None] = {
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
        """The folder of the files."""
        return os.path.join(self.root, self.folder, "raw")

    def _read(self) -> tuple[Any, Any]:
        """The images (N, 28, 28) and labels (N,) of the training or test set."""
        part = self._part("train" if self.train else "t10k")
        n = self._counts[part]
        data = self._read_file(f"{part}-images-idx3-ubyte", (n, SIDE, SIDE))
        targets = self._read_file(f"{part}-labels-idx1-ubyte", (n,))
        if int(targets.max()) >= len(self.classes):
            path = os.path.join(self.raw_folder, f"{part}-labels-idx1-ubyte")
            raise idx.corrupt_file_error(
                path, f"expected labels from 0 to {len(self.classes) - 1}, got {targets.max()}"
            )
        return data, targets.astype(backend.int64)

    def _part(self, part: str) -> str:
        """The name by which the files of a part start."""
        return part

    def _read_file(self, name: str, shape: tuple[int, ...]) -> Any:
        for file in (f"{name}.gz", name):
            with suppress(DataNotFoundError):
                return idx.read(os.path.join(self.raw_folder, file), shape, self._md5.get(file))
        raise DataNotFoundError(
            f"{self.folder}: expected {name}.gz (or without .gz) in {os.path.abspath(self.raw_folder)}, found neither; "
            f"use {type(self).__name__}(root, download=True), which needs `pip install torchvision`, or put the four "
            f"files there: {', '.join(self._md5)}"
        )

    def _download(self) -> None:
        """Download into a temporary folder with torchvision, then move each file in atomically.

        A failed download thus leaves nothing behind, and concurrent processes never read a partial file.
        """
        import tempfile  # here, to keep `import minigrad` quick

        datasets = import_torchvision()
        try:
            os.makedirs(self.raw_folder, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="download-", dir=os.path.join(self.root, self.folder)) as fresh:
                try:
                    downloaded = getattr(datasets, self.folder)(
                        fresh, download=True, **self._torchvision_options
                    ).raw_folder
                except Exception as error:
                    cut = ", ".join(sorted(truncated_files(fresh)))
                    reason = str(error).strip()
                    raise DataError(f"{reason}; the download of {cut} was cut off" if cut else reason) from error
                for file in sorted(os.listdir(downloaded)):
                    with reading(os.path.join(downloaded, file)) as source:
                        write_atomically(os.path.join(self.raw_folder, file), source.read())
        except Exception as error:  # from torchvision, the network or the disk
            reason = " ".join(str(error).split())
            raise DataError(
                f"{self.folder}: the download to {os.path.abspath(self.raw_folder)} failed: {reason}; try again, or "
                f"put the four files there: {', '.join(self._md5)}"
            ) from error


class FashionMNIST(MNIST):
    """60,000 pictures of clothes to train, 10,000 to test, in `root/FashionMNIST/raw`; else as MNIST."""

    classes: ClassVar[list[str]] = [
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
        "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ]  # fmt: skip
    folder = "FashionMNIST"
    _md5: Mapping[str, str | None] = {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }


class KMNIST(MNIST):
    """60,000 cursive Japanese characters to train, 10,000 to test, in `root/KMNIST/raw`; else as MNIST."""

    classes: ClassVar[list[str]] = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]
    folder = "KMNIST"
    _md5: Mapping[str, str | None] = {
        "train-images-idx3-ubyte.gz": "bdb82020997e1d708af4cf47b453dcf7",
        "train-labels-idx1-ubyte.gz": "e144d726b3acfaa3e44228e80efcd344",
        "t10k-images-idx3-ubyte.gz": "5c965bf0a639b31b8f53240b1b52f4d7",
        "t10k-labels-idx1-ubyte.gz": "7320c461ea6c1c855c0b718fb2a4b134",
    }


DIGITS = list("0123456789")
UPPER = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
LOWER = list("abcdefghijklmnopqrstuvwxyz")
DISTINCT = list("abdefghnqrt")  # lower-case letters that do not look like capitals


class EMNIST(MNIST):
    """Handwritten letters and digits, in `root/EMNIST/raw`; else as MNIST. As in torchvision, images are transposed.

    Args:
        root: the folder of the dataset folders.
        split: "byclass", "bymerge", "balanced", "letters" (labels 1 to 26), "digits" or "mnist".
        options: those of MNIST.

    Raises:
        ValueError: another split; and the errors of MNIST.
    """

    folder = "EMNIST"
    splits: ClassVar = {  # the numbers of images to train and to test, and the classes
        "byclass": (697_932, 116_323, DIGITS + UPPER + LOWER),
        "bymerge": (697_932, 116_323, DIGITS + UPPER + DISTINCT),
        "balanced": (112_800, 18_800, DIGITS + UPPER + DISTINCT),
        "letters": (124_800, 20_800, ["N/A", *LOWER]),
        "digits": (240_000, 40_000, DIGITS),
        "mnist": (60_000, 10_000, DIGITS),
    }

    def __init__(self, root: str | os.PathLike[str], split: str, **options: Any) -> None:
        if split not in self.splits:
            raise ValueError(f"EMNIST: expected a split of {', '.join(self.splits)}, got {split!r}")
        train, test, self.classes = self.splits[split]  # type: ignore[misc]
        self.split, self._torchvision_options = split, {"split": split}
        self._counts = {self._part("train"): train, self._part("t10k"): test}
        kinds = ("images-idx3-ubyte", "labels-idx1-ubyte")
        self._md5 = {f"{part}-{kind}": None for part in self._counts for kind in kinds}
        super().__init__(root, **options)

    def _part(self, part: str) -> str:
        return f"emnist-{self.split}-{'test' if part == 't10k' else part}"


def truncated_files(folder: str) -> list[str]:
    """The names of the gzip files below a folder that end too early."""
    return [name for parent, _, names in os.walk(folder) for name in names if is_truncated(os.path.join(parent, name))]


def is_truncated(path: str) -> bool:
    """Whether a file is the beginning of a gzip file."""
    import gzip

    try:
        with gzip.open(path) as stream:
            while stream.read(idx.CHUNK):
                pass
    except EOFError:
        return True
    except (OSError, zlib.error):  # another file, or broken in another way
        return False
    return False


def import_torchvision() -> Any:
    """The module torchvision.datasets. Raises DataError if it cannot be imported."""
    try:
        return importlib.import_module("torchvision.datasets")
    except ModuleNotFoundError as error:
        raise DataError(
            f"download=True needs torchvision, which cannot be imported ({error}): pip install torchvision"
        ) from error
    except Exception as error:  # "operator torchvision::nms does not exist": a build for another torch
        raise DataError(
            f"download=True needs torchvision, which fails to import ({error}): the installed torch and torchvision "
            "are incompatible; install both from one index: "
            "pip install --force-reinstall torch torchvision --index-url https://download.pytorch.org/whl/cpu"
        ) from error
