"""Runs interrupted by Ctrl-C, kill -9 or a disk error resume with bit-identical results."""

from __future__ import annotations

import csv
import errno
import os
import random
import re
import resource
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import settings
from test_examples import command, environment, fails, main_job, rows, run, succeeds  # noqa: F401 (a fixture)

pytest.importorskip("matplotlib", reason="matplotlib, which --out needs, is not installed")

KILLS = 200 if settings().max_examples >= 1000 else 8
JOB = ["mnist_mlp", "--hidden", 16, "--momentum", 0.9, "--epochs", 30, "--out", "runs"]


def results(folder: Path) -> tuple[bytes, list[list[str]]]:
    """The bytes of the weights, and the history without the seconds."""
    with open(folder / "history.csv", newline="") as file:
        return (folder / "weights.safetensors").read_bytes(), [row[:-1] for row in csv.reader(file)]


@pytest.mark.parametrize("options", ["--momentum 0.9", "--optimizer adam", "--optimizer adamw --dtype float64"])
def test_resumed_run_is_bit_identical(options, tmp_path):
    job = ["mnist_mlp", "--hidden", 16, *options.split()]
    one = succeeds(run(tmp_path, *job, "--epochs", 4, "--out", "one"))
    succeeds(run(tmp_path, *job, "--epochs", 2, "--out", "two"))
    two = succeeds(run(tmp_path, *job, "--epochs", 4, "--out", "two", "--resume"))
    assert results(tmp_path / "one") == results(tmp_path / "two")
    assert [row[:5] for row in rows(one)] == [row[:5] for row in rows(two)]


def test_resume_of_an_empty_folder_starts_a_run(tmp_path):
    text = succeeds(run(tmp_path, "mnist_mlp", "--epochs", 1, "--out", "new", "--resume"))
    assert len(rows(text)) == 1
    assert (tmp_path / "new" / "weights.safetensors").exists()


def test_resume_after_kill_9_is_bit_identical(tmp_path):
    start = time.monotonic()
    succeeds(run(tmp_path, *JOB))
    duration = time.monotonic() - start
    undisturbed = results(tmp_path / "runs")
    moments, out, kills = random.Random(0), f"runs-{0}", 0
    while kills < KILLS:
        process = subprocess.Popen(
            [*command(*JOB[:-1], out), "--resume"],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        with process:
            try:
                _, errors = process.communicate(timeout=moments.uniform(0, duration))
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
                continue
        assert (process.returncode, errors) == (0, b"")
        assert results(tmp_path / out) == undisturbed
        out = f"runs-{kills}"
    succeeds(run(tmp_path, *JOB[:-1], out, "--resume"))
    assert results(tmp_path / out) == undisturbed
    assert not list((tmp_path / out).glob("*.unfinished"))


def test_ctrl_c_prints_the_command_to_resume(tmp_path):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job may ignore it
    try:
        process = subprocess.Popen(
            command("mnist_mlp", "--epochs", 2000, "--out", "my runs"),
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        shown = ""
        while len(rows(shown)) < 2:
            shown += process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    line = fails(subprocess.CompletedProcess(process.args, process.returncode, shown + rest, errors), code=130)
    done = len(rows(shown + rest))
    assert f"stopped by Ctrl-C in epoch {done + 1}" in line
    python, lesson, *options = shlex.split(re.findall(r"to continue: (.*)", line)[0])
    assert python == "python"
    options[options.index("2000")] = str(done + 1)
    text = succeeds(run(tmp_path, Path(lesson).stem, *options))
    assert len(rows(text)) == done + 1
    assert [row[:5] for row in rows(text)][:done] == [row[:5] for row in rows(shown + rest)]


# Other options or corrupt files
@pytest.fixture
def unfinished(tmp_path):
    """A folder with an unfinished run of one epoch."""
    succeeds(run(tmp_path, "mnist_mlp", "--hidden", 16, "--epochs", 1, "--out", "runs"))
    (tmp_path / "runs" / "weights.safetensors").unlink()
    return tmp_path


def test_unfinished_run_is_not_overwritten(unfinished):
    line = fails(run(unfinished, "mnist_mlp", "--hidden", 16, "--epochs", 1, "--out", "runs"))
    assert "add --resume" in line
    assert (unfinished / "runs" / "checkpoint.safetensors").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--hidden 32", "the run in runs has --hidden 16, this command 32"),
        ("--hidden 16 --batch-size 7", "the run in runs has --batch-size 32, this command 7"),
        ("--hidden 16 --seed 1", "the run in runs has --seed 0, this command 1"),
    ],
)
def test_resume_with_other_options_is_an_error(options, expected, unfinished):
    before = {file.name: file.read_bytes() for file in (unfinished / "runs").iterdir()}
    line = fails(run(unfinished, "mnist_mlp", *options.split(), "--epochs", 2, "--out", "runs", "--resume"))
    assert expected in line
    assert {file.name: file.read_bytes() for file in (unfinished / "runs").iterdir()} == before


@pytest.mark.parametrize("file", ["checkpoint.safetensors", "run.json"])
def test_damaged_file_is_named(file, unfinished):
    path = unfinished / "runs" / file
    path.write_bytes(path.read_bytes()[:-9])
    line = fails(run(unfinished, "mnist_mlp", "--hidden", 16, "--epochs", 2, "--out", "runs", "--resume"))
    assert f"runs/{file}" in line
    assert "damaged" in line or "corrupt" in line


def test_weights_alone_are_not_a_checkpoint(unfinished):
    import minigrad as mg

    mg.save({"model.1.weight": mg.ones(2)}, unfinished / "runs" / "checkpoint.safetensors")
    line = fails(run(unfinished, "mnist_mlp", "--hidden", 16, "--epochs", 2, "--out", "runs", "--resume"))
    assert "runs/checkpoint.safetensors is not a checkpoint of this run" in line


def test_resume_needs_out(tmp_path):
    assert "--resume: needs --out DIR" in fails(run(tmp_path, "mnist_mlp", "--resume"))


# Disks
def test_full_disk_names_files_and_training_continues(tmp_path):
    """A limit on the file size simulates a full disk: the write is short, then fails."""
    done = subprocess.run(
        command("mnist_mlp", "--epochs", 3, "--out", "runs"),
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert len(rows(done.stdout)) == 3
    assert done.returncode == 1
    *during, last = done.stderr.splitlines()
    unwritten = "checkpoint.safetensors could not be written to runs: File too large; the training continues"
    assert during == [unwritten] * 3
    assert last.startswith("mnist_mlp.py: the training is done, but checkpoint.safetensors, weights.")
    with open(tmp_path / "runs" / "history.csv", newline="") as file:  # it is small enough
        assert len(list(csv.reader(file))) == 4
    assert set(os.listdir(tmp_path / "runs")) >= {"history.csv", "run.json"}
    assert not list((tmp_path / "runs").glob("*.unfinished"))


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_failing_disk_is_reported_and_training_continues(
    error,
    main_job,
    capsys,
    monkeypatch,
    tmp_path,
):
    def raises(*args, **options):
        raise OSError(error, os.strerror(error), "runs")

    from minigrad import serialization as checkpoint

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["mnist_mlp.py", "--epochs", "2", "--out", "runs"])
    monkeypatch.setattr(Path, "mkdir", raises)
    monkeypatch.setattr(checkpoint.os, "replace", raises)
    monkeypatch.delenv("MINIGRAD_DATA", raising=False)
    from support import cli

    with pytest.raises(cli.LessonError, match=r"the training is done, but run\.json, .* could not be written") as stop:
        main_job.main()
    assert stop.value.code == 1
    shown = capsys.readouterr()
    assert len(rows(shown.out)) == 2
    assert f"runs cannot be prepared ({os.strerror(error)}); the training continues" in shown.err
    unwritten = "run.json, checkpoint.safetensors, history.csv could not be written to runs"
    assert shown.err.count(unwritten) == 2  # after each epoch
