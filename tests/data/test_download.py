"""Downloading: the real torchvision fetches small files from a server on this machine that plays the mirror."""

import gzip
import hashlib
import http.server
import os
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers.torchvision_import import import_torchvision

import minigrad
from minigrad.data import MNIST, DataError, FashionMNIST

COUNTS = {"train": 30, "t10k": 20}


def idx_bytes(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def small_files(seed):
    """The four files of a dataset of 30 and 20 images, by name."""
    rng, files = np.random.default_rng(seed), {}
    for part, n in COUNTS.items():
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, n, dtype=np.uint8)
        files[f"{part}-images-idx3-ubyte.gz"] = gzip.compress(idx_bytes(images), mtime=0)
        files[f"{part}-labels-idx1-ubyte.gz"] = gzip.compress(idx_bytes(labels), mtime=0)
    return files


class Mirror(http.server.ThreadingHTTPServer):
    """Serves `files`. While `broken`, each file breaks off half way; `meeting`, a barrier, holds the first requests."""

    daemon_threads = True

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Answer)
        self.files, self.broken, self.requests, self.meeting = files, False, 0, None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request, client_address):
        pass  # a client that went away


class Answer(http.server.BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self):
        self.server.requests += 1
        if self.server.meeting is not None and self.server.requests <= 2:
            self.server.meeting.wait(timeout=60)
        body = self.server.files[self.path.strip("/")]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.server.broken else body)

    def log_message(self, *args):
        pass


@pytest.fixture(params=[MNIST, FashionMNIST], ids=lambda cls: cls.__name__)
def source(request, monkeypatch):
    """(dataset class, mirror): both minigrad and torchvision are told the mirror's files."""
    torchvision, cls = import_torchvision(), request.param
    files = small_files(seed=len(cls.__name__))
    md5 = {name: hashlib.md5(content, usedforsecurity=False).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(cls, "_md5", md5)
    monkeypatch.setattr(cls, "_counts", COUNTS)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    theirs = getattr(torchvision.datasets, cls.__name__)
    with Mirror(files) as mirror:
        monkeypatch.setattr(theirs, "mirrors", [mirror.url])
        monkeypatch.setattr(theirs, "resources", list(md5.items()))
        thread = threading.Thread(target=mirror.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield cls, mirror
        mirror.shutdown()
        thread.join()


def holds_whole(folder, files):
    """Whether each of the mirror's files is in the folder, byte for byte, and nothing half done beside it."""
    raw = folder / "raw"
    assert sorted(path.name for path in folder.iterdir()) == ["raw"]
    return all((raw / name).read_bytes() == content for name, content in files.items())


def test_missing_files_are_downloaded_once(source, tmp_path):
    cls, mirror = source
    train = cls(tmp_path / "new", download=True)
    requests = mirror.requests
    test = cls(tmp_path / "new", train=False, download=True)
    assert (len(train), len(test)) == (30, 20)
    assert mirror.requests == requests > 0
    assert holds_whole(tmp_path / "new" / cls.__name__, mirror.files)
    theirs = getattr(import_torchvision().datasets, cls.__name__)(tmp_path / "new")
    assert np.array_equal(theirs.data.numpy(), train.data.numpy())
    assert np.array_equal(theirs.targets.numpy(), train.targets.numpy())


def test_interrupted_download_leaves_nothing(source, tmp_path):
    cls, mirror = source
    mirror.broken = True
    with pytest.raises(DataError, match=f"{cls.__name__}: the download to .* failed: .*try again") as caught:
        cls(tmp_path, download=True)
    assert "; the download of train-images-idx3-ubyte.gz was cut off; try again" in str(caught.value)
    assert list((tmp_path / cls.__name__ / "raw").iterdir()) == []
    assert "train-images-idx3-ubyte.gz" in str(caught.value)
    mirror.broken = False
    assert len(cls(tmp_path, download=True)) == 30
    assert holds_whole(tmp_path / cls.__name__, mirror.files)


@pytest.mark.parametrize("suffix", [".gz", ""])
def test_partial_file_is_downloaded_again(source, tmp_path, suffix):
    cls, mirror = source
    raw = tmp_path / cls.__name__ / "raw"
    raw.mkdir(parents=True)
    for name, content in mirror.files.items():
        plain = gzip.decompress(content)
        whole = content if suffix else plain
        (raw / name.removesuffix(".gz")).with_suffix(suffix).write_bytes(whole)
    damaged = (raw / "train-images-idx3-ubyte").with_suffix(suffix)
    damaged.write_bytes(damaged.read_bytes()[:-50])
    with pytest.raises(DataError, match="train-images"):
        cls(tmp_path)
    assert len(cls(tmp_path, download=True)) == 30
    assert holds_whole(tmp_path / cls.__name__, mirror.files)
    assert len(cls(tmp_path)) == 30


def test_corrupt_files_survive_a_failed_download(source, tmp_path):
    cls, mirror = source
    raw = tmp_path / cls.__name__ / "raw"
    raw.mkdir(parents=True)
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(mirror.files["t10k-labels-idx1-ubyte.gz"])
    mirror.broken = True
    with pytest.raises(DataError):
        cls(tmp_path, download=True)
    assert [path.name for path in raw.iterdir()] == ["t10k-labels-idx1-ubyte.gz"]


def test_valid_files_are_read_without_torchvision(source, tmp_path, monkeypatch):
    cls, mirror = source
    raw = tmp_path / cls.__name__ / "raw"
    raw.mkdir(parents=True)
    for name, content in mirror.files.items():
        (raw / name).write_bytes(content)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    assert len(cls(tmp_path, download=True)) == 30
    assert mirror.requests == 0


def test_concurrent_downloads_both_succeed(source, tmp_path):
    cls, mirror = source
    mirror.meeting = threading.Barrier(2)  # both have begun before either gets its first byte
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: cls(tmp_path, download=True), range(2))
    assert first.checksum == second.checksum
    assert holds_whole(tmp_path / cls.__name__, mirror.files)


def test_download_to_invalid_folder_raises(source, tmp_path):
    cls, _ = source
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"the download to .*file.* failed"):
        cls(tmp_path / "file", download=True)


def test_download_without_torchvision_names_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(DataError, match="pip install torchvision"):
        MNIST(tmp_path, download=True)


def test_incompatible_torchvision_raises(tmp_path):
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    program = (
        "from minigrad.data import MNIST, DataError\n"
        "try:\n    MNIST('nowhere', download=True)\n"
        "except DataError as error:\n    print(error)"
    )
    path = os.pathsep.join([str(tmp_path), str(Path(minigrad.__file__).parent.parent)])
    environment = {**os.environ, "PYTHONPATH": path}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    assert "torchvision::nms does not exist" in run.stdout
    assert "pip install --force-reinstall torch torchvision" in run.stdout
