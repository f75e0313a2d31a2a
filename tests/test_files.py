"""Writing and reading files: modes, links, devices, and what a killed process leaves."""

import errno
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import settings

import minigrad as mg
from minigrad import viz
from minigrad.files import TEMPORARY_SUFFIX, reading, temporary_name, write_atomically

KILLS = 200 if settings().max_examples >= 1000 else 10
POSIX = pytest.mark.skipif(os.name != "posix", reason="modes, locks and FIFOs are for POSIX systems")


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444])
def test_write_keeps_the_mode(tmp_path, mode):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(mode)
    write_atomically(path, b"new")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", mode)


@POSIX
def test_write_of_private_file_is_never_readable_by_others(tmp_path, monkeypatch):
    path, modes, fsync = tmp_path / "file", [], os.fsync
    path.write_text("old")
    path.chmod(0o600)

    def record(descriptor):
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    write_atomically(path, b"new")
    assert modes[0] == 0o600


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
def test_write_keeps_the_owner(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    os.chown(path, 65534, 65533)
    write_atomically(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65533)


def test_write_into_device_keeps_the_device():
    write_atomically(os.devnull, b"new")
    assert not stat.S_ISREG(os.stat(os.devnull).st_mode)


@POSIX
def test_write_into_fifo_reaches_its_reader(tmp_path):
    path, found, content = tmp_path / "fifo", [], os.urandom(200_000)
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: found.append(path.read_bytes()))
    reader.start()
    write_atomically(path, content)
    reader.join()
    assert found == [content]
    assert stat.S_ISFIFO(path.stat().st_mode)


@POSIX
def test_write_into_fifo_without_reader_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("minigrad.files.SECONDS_FOR_READER", 0.05)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):
        write_atomically(tmp_path / "fifo", b"new")


@POSIX
@pytest.mark.parametrize("kind", ["fifo", "device", "folder"])
def test_read_of_irregular_file_is_an_error(tmp_path, kind):
    path = {"fifo": tmp_path / "fifo", "device": "/dev/zero", "folder": tmp_path}[kind]
    if kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(OSError, match=r"not a regular file|directory"):
        mg.load(path)


@pytest.mark.parametrize("change", ["append", "rewrite"])
def test_file_modified_while_read_is_an_error(tmp_path, change):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def read_and_modify():
        with reading(path) as file:
            file.read(1)
            time.sleep(0.02)  # longer than the clock of file times takes for a tick
            path.write_bytes(b"old, and more" if change == "append" else b"new")

    with pytest.raises(OSError, match="modified while it was read"):
        read_and_modify()


def test_file_replaced_while_read_is_the_old_one(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with reading(path) as file:
        write_atomically(path, b"new")
        assert file.read() == b"old"


@pytest.mark.parametrize("name", ["a\0b", "\ud800", ""])
def test_impossible_name_is_an_os_error(name):
    for action in (lambda: mg.save({"x": mg.ones(1)}, name), lambda: mg.load(name)):
        with pytest.raises(OSError, match="no file can have this name") as caught:
            action()
        assert "\n" not in str(caught.value)


def test_name_of_255_bytes_can_be_written(tmp_path):
    write_atomically(tmp_path / ("é" * 127), b"new")
    assert os.listdir(tmp_path) == ["é" * 127]


# Temporary files
def stray_of(path):
    return temporary_name(str(path), "0123abcd")


@POSIX
def test_stray_of_dead_process_is_deleted(tmp_path):
    path = tmp_path / "file"
    for name in (stray_of(path), stray_of(tmp_path / "other")):
        with open(name, "w") as file:
            file.write("part")
    mine = [tmp_path / f"file{TEMPORARY_SUFFIX}", tmp_path / f"file.0123456789abcdef{TEMPORARY_SUFFIX}"]
    for stranger in mine:
        stranger.write_text("a file of the user")
    write_atomically(path, b"new")
    assert {*map(str, tmp_path.iterdir())} == {str(path), stray_of(tmp_path / "other"), *map(str, mine)}


@POSIX
def test_temporary_file_of_live_process_is_kept(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "file"
    with open(stray_of(path), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write_atomically(path, b"new")
        assert os.path.exists(stray_of(path))
    write_atomically(path, b"new")
    assert os.listdir(tmp_path) == ["file"]


@POSIX
def test_concurrent_writes_all_succeed(tmp_path):
    program = (
        "import sys\nfrom minigrad.files import write_atomically\n"
        "for i in range(100): write_atomically(sys.argv[1], sys.argv[2].encode() * 1000)"
    )
    run = [sys.executable, "-c", program, str(tmp_path / "file")]
    processes = [subprocess.Popen([*run, letter], stderr=subprocess.PIPE) for letter in "abc"]
    for process in processes:
        assert process.communicate()[1] == b""
    assert (tmp_path / "file").read_bytes() in {letter * 1000 for letter in (b"a", b"b", b"c")}
    assert os.listdir(tmp_path) == ["file"]


@POSIX
def test_killed_saves_leave_a_whole_file_and_no_strays(tmp_path):
    moments, path = random.Random(0), tmp_path / "weights"
    states = [{"x": mg.full((20_000,), float(i))} for i in range(2)]
    mg.save(states[0], path)
    for _ in range(KILLS):
        child = os.fork()
        if child == 0:
            try:
                while True:
                    for state in states:
                        mg.save(state, path)
            finally:
                os._exit(1)
        time.sleep(moments.uniform(0.002, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert mg.load(path)["x"].tolist() in [state["x"].tolist() for state in states]
    mg.save(states[0], path)
    assert os.listdir(tmp_path) == ["weights"]


# Pages and graphs
def test_failed_write_keeps_page_and_takes_no_step(tmp_path, monkeypatch):
    model, path = mg.nn.Linear(3, 2), tmp_path / "step.html"
    optimizer = mg.optim.Adam(model.parameters(), lr=0.1)

    def step():
        return viz.player(model(mg.ones(1, 3)).sum(), model, optimizer, path)

    step()
    page, before = path.read_bytes(), {name: value.tolist() for name, value in model.state_dict().items()}
    state = repr(optimizer.state_dict()["state"])

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            step()
        with pytest.raises(OSError, match="No space left"):
            viz.graph(model(mg.ones(1, 3)).sum()).save(tmp_path / "graph.svg")
    assert path.read_bytes() == page
    assert {name: value.tolist() for name, value in model.state_dict().items()} == before
    assert repr(optimizer.state_dict()["state"]) == state
    assert all(parameter.grad is None for parameter in model.parameters())
    assert os.listdir(tmp_path) == ["step.html"]
    step()
    assert path.read_bytes() != page
