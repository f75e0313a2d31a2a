"""Every fault at every step: what a failing disk, or a crash, leaves of files that are written and read.

`Disk` stands between the package and the operating system. It counts the steps (open, write, flush, fsync, close,
rename, unlink, read, seek, stat) and lets one of them fail.
"""

from __future__ import annotations

import builtins
import errno
import gzip
import io
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.data import DataError, idx
from minigrad.serialization import CheckpointError

FAULTS = [errno.ENOSPC, errno.EIO]


class Disk:
    """Calls `fault(work)` in place of the step number `at`, counted from 0; `work` is what the step would have done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, fault: Callable[..., Any]) -> None:
        self.steps: list[str] = []
        self.at = at
        self.fault = fault
        for module, name in ((builtins, "open"), (os, "fsync"), (os, "replace"), (os, "unlink"), (os, "fstat")):
            monkeypatch.setattr(module, name, self.watch(name, getattr(module, name)))

    def watch(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **options: Any) -> Any:
            self.steps.append(name)
            if len(self.steps) - 1 == self.at:
                return self.fault(name, work, *args, **options)
            result = work(*args, **options)
            return File(self, result) if name == "open" else result

        return step


class File:
    """An open file whose methods are steps of a Disk."""

    def __init__(self, disk: Disk, file: Any) -> None:
        self.disk, self.file = disk, file

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.file, name)
        return self.disk.watch(name, found) if name in {"write", "flush", "read", "seek"} else found

    def __enter__(self) -> File:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self.disk.watch("close", lambda: None)()
        finally:
            self.file.close()


def failing(error: int) -> Callable[..., Any]:
    def fault(name: str, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        raise OSError(error, os.strerror(error))

    return fault


def short(name: str, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """A write or a read of half of what it should have, then the error; other steps just fail."""
    if name == "write":
        work(args[0][: len(args[0]) // 2])
    raise OSError(errno.ENOSPC, "No space left on device")


def steps_of(action: Callable[[], Any]) -> list[str]:
    """The steps of an action that nothing disturbs."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        disk = Disk(monkeypatch, -1, short)
        action()
    return disk.steps


def disturbed(action: Callable[[], Any], at: int, fault: Callable[..., Any]) -> Any:
    """The result of an action one of whose steps fails."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        Disk(monkeypatch, at, fault)
        return action()


# Writing
OLD, NEW = {"x": mg.ones(300)}, {"x": mg.zeros(300)}


def test_a_save_is_open_write_flush_fsync_close_rename(tmp_path):
    steps = steps_of(lambda: mg.save(NEW, tmp_path / "weights"))
    assert steps == ["open", "write", "flush", "fsync", "close", "replace", "fsync"]  # the last one: of the folder


@pytest.mark.parametrize("fault", [*map(failing, FAULTS), short], ids=["ENOSPC", "EIO", "short"])
@pytest.mark.parametrize("at", range(6))
def test_a_failed_step_of_save_leaves_the_old_file_and_nothing_else(tmp_path, at, fault):
    path = tmp_path / "weights"
    mg.save(OLD, path)
    with pytest.raises(OSError, match=r"No space|Input/output"):
        disturbed(lambda: mg.save(NEW, path), at, fault)
    assert mg.load(path)["x"].tolist() == OLD["x"].tolist()
    assert os.listdir(tmp_path) == ["weights"]
    mg.save(NEW, path)  # the disk is well again
    assert mg.load(path)["x"].tolist() == NEW["x"].tolist()


def test_save_reports_a_folder_that_cannot_be_flushed(tmp_path):
    path = tmp_path / "weights"
    mg.save(OLD, path)
    with pytest.raises(OSError, match="Input/output"):
        disturbed(lambda: mg.save(NEW, path), 6, failing(errno.EIO))
    assert mg.load(path)["x"].tolist() == NEW["x"].tolist()  # not yet durable, but whole
    assert os.listdir(tmp_path) == ["weights"]


@pytest.mark.parametrize("at", range(7))
@pytest.mark.parametrize("half", [False, True], ids=["before", "within or after"])
def test_a_crash_at_any_step_of_save_leaves_the_old_file_or_the_new(tmp_path, at, half):
    def crash(name: str, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if half:
            work(*([args[0][: len(args[0]) // 2]] if name == "write" else args), **options)
        os._exit(9)

    path = tmp_path / "weights"
    mg.save(OLD, path)
    child = os.fork()
    if child == 0:
        try:
            disturbed(lambda: mg.save(NEW, path), at, crash)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    found = mg.load(path)["x"].tolist()
    assert found == (NEW if at == 6 or (at == 5 and half) else OLD)["x"].tolist()
    mg.save(NEW, path)
    assert mg.load(path)["x"].tolist() == NEW["x"].tolist()
    assert os.listdir(tmp_path) == ["weights"]


@pytest.mark.parametrize("part", [0, 0.001, 0.01, 0.1, 0.5, 0.999])
def test_a_disk_that_is_full_at_any_byte_leaves_the_old_file(tmp_path, part):
    """A limit on the size of files: the operating system itself writes part of the bytes, and refuses the rest."""
    resource = pytest.importorskip("resource", reason="limits on files are for POSIX systems")
    path = tmp_path / "weights"
    mg.save(OLD, path)
    limit = int(part * path.stat().st_size)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            mg.save(NEW, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert mg.load(path)["x"].tolist() == OLD["x"].tolist()
    assert os.listdir(tmp_path) == ["weights"]


# Reading
def reading(tmp_path: Path, kind: str) -> tuple[Callable[[], Any], type[Exception]]:
    """What reads a whole file of that kind, and the error for one that cannot be read."""
    if kind == "weights":
        mg.save(OLD, tmp_path / "weights")
        return lambda: mg.load(tmp_path / "weights")["x"].numpy(), OSError
    content = bytes([0, 0, 8, 2]) + struct.pack(">2I", 30, 10) + bytes(range(100)) * 3
    path = tmp_path / kind
    path.write_bytes(gzip.compress(content, mtime=0) if kind.endswith(".gz") else content)
    return lambda: idx.read(str(path), (30, 10), None), DataError


@pytest.mark.parametrize("kind", ["weights", "images", "images.gz"])
def test_every_failed_step_of_reading_is_an_error_or_of_no_consequence(tmp_path, kind):
    read, expected = reading(tmp_path, kind)
    whole = read()
    steps = steps_of(read)
    assert steps.count("open") == 1
    assert "read" in steps
    messages = []
    for at in range(len(steps)):
        for error in FAULTS:
            try:
                found = disturbed(read, at, failing(error))
            except expected as raised:
                messages.append((str(raised), os.strerror(error)))
            else:
                assert np.array_equal(found, whole)
    assert all(reason in message for message, reason in messages)
    assert len(messages) >= 2 * (steps.count("open") + steps.count("read"))


@pytest.mark.parametrize("kind", ["weights", "images", "images.gz"])
@pytest.mark.parametrize("part", [0, 0.5, 0.99])
def test_a_short_read_is_never_taken_for_the_file(tmp_path, kind, part):
    """A file that is cut while it is read: each read in turn gives less than it should, and those after it nothing."""
    read, expected = reading(tmp_path, kind)
    whole, steps = read(), steps_of(read)

    for at in [i for i, step in enumerate(steps) if step == "read"]:

        def cut(name: str, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
            content = work(*args)
            work.__self__.seek(0, io.SEEK_END)
            return content[: int(part * len(content))]

        try:
            found = disturbed(read, at, cut)
        except (CheckpointError, expected):
            pass
        else:
            assert np.array_equal(found, whole)
