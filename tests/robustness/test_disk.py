"""Disk faults and crashes at every step of writing and reading a file.

`Disk` replaces the calls to the operating system. It counts the steps (open, write, flush, fsync, close,
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
    """Calls `fault(name, work, ...)` instead of step number `at`, counted from 0; `work` is the original step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, fault: Callable[..., Any]) -> None:
        self.steps: list[str] = []
        self.at = at
        self.fault = fault
        for module, name in ((builtins, "open"), (os, "fsync"), (os, "replace"), (os, "unlink"), (os, "fstat")):
            monkeypatch.setattr(module, name, self.wrap(name, getattr(module, name)))

    def wrap(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
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
        return self.disk.wrap(name, found) if name in {"write", "flush", "read", "seek"} else found

    def __enter__(self) -> File:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self.disk.wrap("close", lambda: None)()
        finally:
            self.file.close()


def failing(error: int) -> Callable[..., Any]:
    def fault(name: str, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        raise OSError(error, os.strerror(error))

    return fault


def short(name: str, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Half of a write, then the error; other steps fail."""
    if name == "write":
        work(args[0][: len(args[0]) // 2])
    raise OSError(errno.ENOSPC, "No space left on device")


def steps_of(action: Callable[[], Any]) -> list[str]:
    """The steps of an action without a fault."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        disk = Disk(monkeypatch, -1, short)
        action()
    return disk.steps


def with_fault(action: Callable[[], Any], at: int, fault: Callable[..., Any]) -> Any:
    """The result of an action with a fault at one step."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        Disk(monkeypatch, at, fault)
        return action()


# Writing
OLD, NEW = {"x": mg.ones(300)}, {"x": mg.zeros(300)}


def test_save_is_open_write_flush_fsync_close_rename(tmp_path):
    steps = steps_of(lambda: mg.save(NEW, tmp_path / "weights"))
    assert steps == ["open", "write", "flush", "fsync", "close", "replace", "fsync"]  # the last one: of the folder


@pytest.mark.parametrize("fault", [*map(failing, FAULTS), short], ids=["ENOSPC", "EIO", "short"])
@pytest.mark.parametrize("at", range(6))
def test_failed_save_leaves_only_the_old_file(tmp_path, at, fault):
    path = tmp_path / "weights"
    mg.save(OLD, path)
    with pytest.raises(OSError, match=r"No space|Input/output"):
        with_fault(lambda: mg.save(NEW, path), at, fault)
    assert mg.load(path)["x"].tolist() == OLD["x"].tolist()
    assert os.listdir(tmp_path) == ["weights"]
    mg.save(NEW, path)  # the disk works again
    assert mg.load(path)["x"].tolist() == NEW["x"].tolist()


def test_save_reports_a_folder_that_cannot_be_flushed(tmp_path):
    path = tmp_path / "weights"
    mg.save(OLD, path)
    with pytest.raises(OSError, match="Input/output"):
        with_fault(lambda: mg.save(NEW, path), 6, failing(errno.EIO))
    assert mg.load(path)["x"].tolist() == NEW["x"].tolist()  # not yet durable, but whole
    assert os.listdir(tmp_path) == ["weights"]


@pytest.mark.parametrize("at", range(7))
@pytest.mark.parametrize("half", [False, True], ids=["before", "within or after"])
def test_crash_in_save_leaves_the_old_file_or_the_new(tmp_path, at, half):
    def crash(name: str, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if half:
            work(*([args[0][: len(args[0]) // 2]] if name == "write" else args), **options)
        os._exit(9)

    path = tmp_path / "weights"
    mg.save(OLD, path)
    child = os.fork()
    if child == 0:
        try:
            with_fault(lambda: mg.save(NEW, path), at, crash)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    found = mg.load(path)["x"].tolist()
    assert found == (NEW if at == 6 or (at == 5 and half) else OLD)["x"].tolist()
    mg.save(NEW, path)
    assert mg.load(path)["x"].tolist() == NEW["x"].tolist()
    assert os.listdir(tmp_path) == ["weights"]


@pytest.mark.parametrize("part", [0, 0.001, 0.01, 0.1, 0.5, 0.999])
def test_save_on_a_full_disk_leaves_the_old_file(tmp_path, part):
    """With a limit on file sizes, the operating system writes only part of the bytes."""
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
    """A function that reads a complete file of this kind, and the error type for an unreadable one."""
    if kind == "weights":
        mg.save(OLD, tmp_path / "weights")
        return lambda: mg.load(tmp_path / "weights")["x"].numpy(), OSError
    content = bytes([0, 0, 8, 2]) + struct.pack(">2I", 30, 10) + bytes(range(100)) * 3
    path = tmp_path / kind
    path.write_bytes(gzip.compress(content, mtime=0) if kind.endswith(".gz") else content)
    return lambda: idx.read(str(path), (30, 10), None), DataError


@pytest.mark.parametrize("kind", ["weights", "images", "images.gz"])
def test_failed_read_raises_or_gives_the_whole_file(tmp_path, kind):
    read, expected = reading(tmp_path, kind)
    whole = read()
    steps = steps_of(read)
    assert steps.count("open") == 1
    assert "read" in steps
    messages = []
    for at in range(len(steps)):
        for error in FAULTS:
            try:
                found = with_fault(read, at, failing(error))
            except expected as raised:
                messages.append((str(raised), os.strerror(error)))
            else:
                assert np.array_equal(found, whole)
    assert all(reason in message for message, reason in messages)
    assert len(messages) >= 2 * (steps.count("open") + steps.count("read"))


@pytest.mark.parametrize("kind", ["weights", "images", "images.gz"])
@pytest.mark.parametrize("part", [0, 0.5, 0.99])
def test_short_read_raises_or_gives_the_whole_file(tmp_path, kind, part):
    """A file is truncated during reading: one read returns too few bytes, the later ones none."""
    read, expected = reading(tmp_path, kind)
    whole, steps = read(), steps_of(read)

    for at in [i for i, step in enumerate(steps) if step == "read"]:

        def cut(name: str, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
            content = work(*args)
            work.__self__.seek(0, io.SEEK_END)
            return content[: int(part * len(content))]

        try:
            found = with_fault(read, at, cut)
        except (CheckpointError, expected):
            pass
        else:
            assert np.array_equal(found, whole)
