"""A lock on a folder: one process at a time writes to it."""

from __future__ import annotations

import os
import platform
import re
import time
import weakref
from contextlib import suppress
from pathlib import Path

from .cli import LessonError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NAME = "run.lock"
OWNER = re.compile(r"process \d+ on .*")


class FolderLock:
    """A lock that is held until `release`, or the death of the process. `run.lock` names the process and its host.

    Raises LessonError if another process has it.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / NAME
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
            if not lock(descriptor):
                owner = read_owner(descriptor, wait=0.5)
                os.close(descriptor)
                raise LessonError(f"{folder} is in use by {owner}: wait until it ends, or choose another --out")
            with suppress(FileNotFoundError):  # the last owner has deleted the file meanwhile
                if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                    break
            os.close(descriptor)
        if os.fstat(descriptor).st_size and not OWNER.fullmatch(read_owner(descriptor)):
            os.close(descriptor)
            raise LessonError(f"{path} is not the lock of a run: choose another --out")
        text = f"process {os.getpid()} on {platform.node()}".encode()
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, text)
        os.ftruncate(descriptor, len(text))
        self.release = weakref.finalize(self, release, path, descriptor)


def lock(descriptor: int) -> bool:
    """Lock an open file. Returns False if another process has it locked."""
    try:
        if fcntl:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    return True


def read_owner(descriptor: int, wait: float = 0.0) -> str:
    """The process that a lock file names. A new owner may need a moment to write it."""
    end = time.monotonic() + wait
    while True:
        os.lseek(descriptor, 0, os.SEEK_SET)
        owner = os.read(descriptor, 300).decode("utf-8", "replace")
        if owner or time.monotonic() >= end:
            return owner or "another process"
        time.sleep(0.01)


def release(path: Path, descriptor: int) -> None:
    """Delete the lock file, then unlock it."""
    with suppress(OSError):
        os.unlink(path)
    os.close(descriptor)
