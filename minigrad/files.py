"""Files: writes that a crash cannot leave half done, and reads of regular files alone."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TEMPORARY_SUFFIX = ".unfinished"  # of a file that is being written
SECONDS_FOR_READER = 1.0  # of a FIFO, to open it
Path = str | os.PathLike[str]


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a crash at any moment leaves the old or the new content, never a part of it.

    The bytes go to a temporary file in the same folder, which is flushed to the disk and then renamed; the rename, too,
    is flushed. The new file has the mode and, where that is permitted, the owner of the one that it replaces. A link
    stays a link. A device or a FIFO is written to, not replaced. Temporary files that a killed process left of the same
    file are deleted.

    Raises OSError; the old content is then kept, unless the folder alone could not be flushed.
    """
    check_path(path)
    try:
        old = os.stat(path)
    except FileNotFoundError:
        old = None
    if old is not None and not stat.S_ISREG(old.st_mode):
        write_to_device(path, content)
        return
    try:
        replace(os.path.realpath(path), content, old)
    except OSError as error:
        if error.filename is not None:
            error.filename = os.fspath(path)  # not the temporary file
        raise


def replace(path: str, content: bytes, old: os.stat_result | None) -> None:
    """Write a regular file beside `path`, then rename it to `path`."""
    remove_strays(path)
    temporary, file = create_temporary(path)
    lock = os.dup(file.fileno()) if fcntl else None  # held until the temporary file has its final name
    try:
        with file:
            if old is not None:
                keep_owner_and_mode(file.fileno(), old)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    finally:
        if lock is not None:
            os.close(lock)
    sync_folder(os.path.dirname(path))


def keep_owner_and_mode(descriptor: int, old: os.stat_result) -> None:
    """Give an open file the owner, if that is permitted, and the mode of another."""
    if hasattr(os, "fchown"):
        with suppress(PermissionError):
            os.fchown(descriptor, -1, old.st_gid)
        with suppress(PermissionError):
            os.fchown(descriptor, old.st_uid, -1)
        with suppress(PermissionError):  # a file system without modes
            os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def sync_folder(folder: str) -> None:
    """Flush the names in a folder to the disk, so that a rename survives a power cut."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # a folder may be writable, but not readable
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system without this operation
            raise
    finally:
        os.close(descriptor)


def write_to_device(path: Path, content: bytes) -> None:
    """Write to a device or a FIFO. Raises OSError if nothing reads from the FIFO."""
    end = time.monotonic() + SECONDS_FOR_READER
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
            break
        except OSError as error:
            if error.errno != errno.ENXIO or time.monotonic() > end:
                raise
            time.sleep(0.01)
    if hasattr(os, "O_NONBLOCK"):
        os.set_blocking(descriptor, True)
    with open(descriptor, "wb") as file:
        file.write(content)


# Temporary files. A process holds a lock on each that it writes; a kill releases the lock.
def temporary_name(path: str, token: str) -> str:
    """The name of a temporary file for `path`. Its last digits depend on `path`: no other file has it by chance."""
    folder, name = os.path.split(path)
    tag = hashlib.sha256(os.fsencode(name) + token.encode()).hexdigest()[:8]
    return os.path.join(folder, f"{name[:40]}.{token}{tag}{TEMPORARY_SUFFIX}")


def create_temporary(path: str) -> tuple[str, BinaryIO]:
    """Create and lock a temporary file for `path`."""
    while True:
        temporary = temporary_name(path, os.urandom(4).hex())
        file = open(temporary, "xb")  # noqa: SIM115 (the caller closes it)
        with suppress(OSError):  # a file system without locks
            if fcntl:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        if os.path.lexists(temporary):  # else another process took it for a stray, before it was locked
            return temporary, file
        file.close()


def remove_strays(path: str) -> None:
    """Delete the temporary files for `path` whose process is dead."""
    folder = os.path.dirname(path)
    with suppress(OSError):
        for name in os.listdir(folder) if fcntl else ():
            token = name.removesuffix(TEMPORARY_SUFFIX)[-16:-8]
            stray = os.path.join(folder, name)
            if name.endswith(TEMPORARY_SUFFIX) and stray == temporary_name(path, token):
                remove_if_unlocked(stray)


def remove_if_unlocked(path: str) -> None:
    """Delete a file unless a process holds a lock on it."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
        finally:
            os.close(descriptor)


# Reading
@contextmanager
def reading(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file. Raises OSError for any other, and if the file is modified before the end."""
    check_path(path)
    with open(path, "rb", opener=open_at_once) as file:
        before = os.fstat(file.fileno())
        if not stat.S_ISREG(before.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
        yield file
        after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise OSError(errno.EBUSY, "modified while it was read; try again", os.fspath(path))


def open_at_once(path: str, flags: int) -> int:
    """Open without waiting for the other end of a FIFO."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def check_path(path: Any) -> None:
    """Raise OSError for a path that no file can have."""
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:
        encoded = b""
    if not encoded or b"\0" in encoded:
        raise OSError(errno.EINVAL, "no file can have this name", os.fspath(path))
