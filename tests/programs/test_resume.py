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
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import settings
from test_examples import command, environment, fails, main_job, rows, run, succeeds  # noqa: F401 (a fixture)

import minigrad as mg
from minigrad.files import write_atomically

pytest.importorskip("matplotlib", reason="matplotlib, which --out needs, is not installed")

KILLS = 500 if settings().max_examples >= 1000 else 8
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


def start_forked(folder: Path, options: Sequence[object]) -> int:
    """Start mnist_mlp in a child process that has the modules imported already. Returns its process id.

    Its output goes to `PID.out` in the folder.
    """
    child = os.fork()
    if child:
        return child
    code: object = 1
    try:
        from support.cli import run_lesson

        os.chdir(folder)
        with open(f"{os.getpid()}.out", "w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        sys.argv = ["mnist_mlp.py", *map(str, options)]
        run_lesson(sys.modules["mnist_mlp"].main)
    except SystemExit as end:
        code = end.code
    finally:
        os._exit(code if isinstance(code, int) else 1)


def skip_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write files of three bytes in place of the plots, which take most of the time of a short run."""
    from support.run_folder import RunFolder

    def write_no_plot(folder, name, plot):
        folder._write(name, lambda path: write_atomically(path, b"PNG"))

    monkeypatch.setattr(RunFolder, "_plot", write_no_plot)


def test_resume_after_kill_9_is_bit_identical(main_job, monkeypatch, tmp_path):
    """Kills at random moments; in most runs a checkpoint is written within the epochs, too."""
    skip_plots(monkeypatch)
    monkeypatch.delenv("MINIGRAD_DATA", raising=False)
    assert os.waitpid(start_forked(tmp_path, JOB[1:]), 0)[1] == 0
    undisturbed = results(tmp_path / "runs")
    moments, run_number, kills, within = random.Random(0), 0, 0, 0
    while kills < KILLS:
        every = ["--checkpoint-every", moments.choice([0, 0.01])] if moments.random() < 0.85 else []
        child = start_forked(tmp_path, [*JOB[1:-1], f"runs-{run_number}", "--resume", *every])
        time.sleep(moments.uniform(0, 0.7))
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            kills += 1
            path = tmp_path / f"runs-{run_number}" / "checkpoint.safetensors"
            state = mg.load(path) if path.exists() else {}
            within += bool(state) and state["position"].tolist()[0] > 0
        else:
            assert status == 0
            assert results(tmp_path / f"runs-{run_number}") == undisturbed
            run_number += 1
    assert within >= KILLS / 3 or KILLS < 100
    print(f"{kills} kills, {within} with a checkpoint within an epoch, {run_number} runs finished between them")
    assert os.waitpid(start_forked(tmp_path, [*JOB[1:-1], f"runs-{run_number}", "--resume"]), 0)[1] == 0
    assert results(tmp_path / f"runs-{run_number}") == undisturbed
    assert not list(tmp_path.glob("*/*.unfinished"))
    assert not list(tmp_path.glob("*/run.lock"))


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
    assert "corrupt" in line


def test_weights_alone_are_not_a_checkpoint(unfinished):
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
