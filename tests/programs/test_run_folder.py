"""The folder of a run: what is replaced and what is kept, the lock, and every damaged state."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import settings
from test_examples import command, environment, fails, main_job, rows, run, succeeds  # noqa: F401 (a fixture)
from test_resume import results, skip_plots, start_forked

import minigrad as mg
from minigrad.serialization import CheckpointError, load_with_notes, save_with_notes

pytest.importorskip("matplotlib", reason="matplotlib, which --out needs, is not installed")

THOROUGH = settings().max_examples >= 1000
JOB = ["mnist_mlp", "--hidden", 8, "--epochs", 1, "--out", "runs"]
FILES = {"checkpoint.safetensors", "history.csv", "run.json", "weights.safetensors"}
FILES |= {"curves.png", "mistakes.png", "surface.png", "weights.png"}


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder without its lock."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "run.lock"}


def start(folder: Path, *options: object) -> subprocess.Popen[str]:
    """Start a lesson in the background; it does not ignore SIGINT, as a background job may."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            command(*options), cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    finally:
        signal.signal(signal.SIGINT, before)


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    """Its output up to a line that begins with the pattern."""
    text = ""
    while not re.search(rf"^{pattern}", text, re.M):
        line = process.stdout.readline()
        assert line, text + process.stderr.read()
        text += line
    return text


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    """A folder with a finished run in `runs`; a test takes a copy of it."""
    folder = tmp_path_factory.mktemp("finished")
    succeeds(run(folder, *JOB))
    assert {*contents(folder / "runs")} == FILES
    return folder


@pytest.fixture
def finished(finished_run, tmp_path):
    shutil.copytree(finished_run / "runs", tmp_path / "runs")
    return tmp_path


# What is replaced
def test_finished_run_is_not_overwritten_unasked(finished):
    before = contents(finished / "runs")
    line = fails(run(finished, *JOB))
    assert "runs contains a finished run" in line
    assert "--overwrite" in line
    assert contents(finished / "runs") == before


def test_overwrite_replaces_a_run_and_no_other_files(finished):
    others = {"notes.txt": b"mine", "x.unfinished": b"mine", "history.csv.bak": b"mine"}
    for name, content in others.items():
        (finished / "runs" / name).write_bytes(content)
    succeeds(run(finished, *JOB, "--seed", 1, "--overwrite"))
    succeeds(run(finished, *JOB[:-1], "fresh", "--seed", 1))
    assert results(finished / "runs") == results(finished / "fresh")
    found = contents(finished / "runs")
    assert {name: found.pop(name) for name in others} == others
    assert {*found} == FILES


def test_overwrite_keeps_old_run_until_first_checkpoint(finished):
    before = contents(finished / "runs")
    process = start(finished, "mnist_mlp", "--hidden", 3000, 3000, "--out", "runs", "--overwrite")
    with process:
        read_until(process, "epoch ")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "no checkpoint yet; to start again: " in errors
    assert "--overwrite" in errors
    assert contents(finished / "runs") == before
    succeeds(run(finished, *JOB, "--resume"))


def test_overwrite_on_full_disk_keeps_the_old_run(finished):
    import resource

    before = contents(finished / "runs")
    done = subprocess.run(
        command(*JOB, "--overwrite"), cwd=finished, env=environment(), capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)),
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "checkpoint.safetensors" in done.stderr
    assert "could not be written to runs: File too large" in done.stderr
    assert contents(finished / "runs") == before


def test_crash_after_first_checkpoint_of_overwrite_resumes(finished):
    old = contents(finished / "runs")
    succeeds(run(finished, *JOB, "--seed", 1, "--overwrite"))
    new = results(finished / "runs")
    for name, content in old.items():  # as if it was killed between the checkpoint and the next file
        if name != "checkpoint.safetensors":
            (finished / "runs" / name).write_bytes(content)
    assert "--seed" in fails(run(finished, *JOB, "--resume"))  # the checkpoint counts
    succeeds(run(finished, *JOB, "--seed", 1, "--resume"))
    assert results(finished / "runs") == new


@pytest.mark.parametrize("name", ["history.csv", "checkpoint.safetensors", "weights.png"])
def test_files_of_the_user_are_kept(name, tmp_path):
    (tmp_path / name).write_text("mine")
    for options in ([], ["--resume"]):
        line = fails(run(tmp_path, *JOB[:-1], ".", *options))
        assert f". contains {name}, but not of a run" in line
    assert contents(tmp_path) == {name: b"mine"}


def test_out_may_contain_other_files(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    succeeds(run(tmp_path, *JOB[:-1], "."))
    assert {*contents(tmp_path)} == {*FILES, "notes.txt"}


def test_edited_manifest_deletes_no_other_file(finished):
    (finished / "secret").write_text("mine")
    path = finished / "runs" / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "files": [*FILES, "../secret"]}))
    succeeds(run(finished, *JOB, "--overwrite"))
    assert (finished / "secret").read_text() == "mine"


def test_resume_without_a_run_is_told(tmp_path):
    assert "No checkpoint in runs: starting a run." in succeeds(run(tmp_path, *JOB, "--resume"))


@pytest.mark.parametrize("options", ["--resume --overwrite --out runs", "--overwrite", "--checkpoint-every 1"])
def test_options_of_the_folder_need_it_and_fit(options, tmp_path):
    fails(run(tmp_path, "mnist_mlp", *options.split()))


# One writer
def test_second_run_in_a_folder_is_told(tmp_path):
    first = start(tmp_path, "mnist_mlp", "--epochs", 4000, "--out", "runs")
    with first:
        read_until(first, " +1 ")
        for options in ([], ["--resume"], ["--overwrite"]):
            line = fails(run(tmp_path, *JOB, *options))
            assert f"runs is in use by process {first.pid} on {os.uname().nodename}" in line
        first.kill()
        first.communicate()
    assert (tmp_path / "runs" / "run.lock").exists()
    assert "unfinished run" in fails(run(tmp_path, *JOB))
    succeeds(run(tmp_path, *JOB, "--overwrite"))
    assert {*os.listdir(tmp_path / "runs")} == FILES


def test_two_runs_started_at_once_never_mix(main_job, monkeypatch, tmp_path):
    skip_plots(monkeypatch)
    monkeypatch.delenv("MINIGRAD_DATA", raising=False)
    alone, moments = {}, random.Random(0)
    for seed in (0, 1):
        assert os.waitpid(start_forked(tmp_path, [*JOB[1:-1], f"alone-{seed}", "--seed", seed]), 0)[1] == 0
        alone[seed] = results(tmp_path / f"alone-{seed}")
    for _ in range(200 if THOROUGH else 3):
        both = []
        for seed in alone:
            both.append(start_forked(tmp_path, [*JOB[1:], "--seed", seed]))
            time.sleep(moments.choice([0, 0.001, 0.01]))
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in both]
        said = [(tmp_path / f"{child}.out").read_text() for child in both]
        assert sorted(codes) == [0, 2], said
        winner = codes.index(0)
        told = said[1 - winner].splitlines()[-1]
        assert re.search(rf"in use by process {both[winner]} on |contains a finished run", told), said
        assert "Traceback" not in "".join(said)
        assert results(tmp_path / "runs") == alone[winner]
        assert {*os.listdir(tmp_path / "runs")} == FILES
        shutil.rmtree(tmp_path / "runs")


def test_lock_of_the_user_is_kept(tmp_path):
    (tmp_path / "run.lock").write_text("mine")
    assert "run.lock is not the lock of a run" in fails(run(tmp_path, *JOB[:-1], "."))
    assert (tmp_path / "run.lock").read_text() == "mine"


# Signals
@pytest.mark.parametrize(
    ("number", "code", "out"),
    [(signal.SIGTERM, 143, "my  runs"), (signal.SIGHUP, 129, "a\nb'c\\d"), (signal.SIGINT, 130, os.fsdecode(b"\xff"))],
    ids=["SIGTERM", "SIGHUP", "SIGINT"],
)
def test_signal_prints_a_command_that_can_be_pasted(number, code, out, tmp_path):
    process = start(tmp_path, "mnist_mlp", "--hidden", 8, "--epochs", 4000, "--out", out, "--overwrite")
    with process:
        read_until(process, " +2 ")
        process.send_signal(number)
        if number != signal.SIGINT:  # as a closing terminal does
            process.send_signal(number)
        rest, errors = process.communicate(timeout=60)
    line = fails(subprocess.CompletedProcess([], process.returncode, rest, errors), code)
    name = "Ctrl-C" if number == signal.SIGINT else number.name
    assert f"stopped by {name} in epoch " in line
    pasted = line.partition("to continue: ")[2].strip()
    program = "import sys, os; print(ascii([os.fsencode(word) for word in sys.argv[1:]]))"
    typed = pasted.replace("python", f"{shlex.quote(sys.executable)} -c {shlex.quote(program)}", 1)
    shell = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, check=True)
    words = [str(ROOT_OF_LESSONS / "mnist_mlp.py"), "--hidden", "8", "--epochs", "4000", "--out", out, "--resume"]
    assert shell.stdout.strip() == ascii([os.fsencode(word) for word in words])


ROOT_OF_LESSONS = Path(command("mnist_mlp")[1]).parent


def test_ignored_hangup_does_not_stop_a_run(tmp_path):
    process = subprocess.Popen(
        command("mnist_mlp", "--hidden", 8, "--epochs", 30), cwd=tmp_path, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    with process:
        shown = read_until(process, " +1 ")
        process.send_signal(signal.SIGHUP)
        rest, errors = process.communicate(timeout=60)
    assert (process.returncode, errors, len(rows(shown + rest))) == (0, "", 30)


# In the process of the test, which is much faster
@pytest.fixture
def lesson(main_job, monkeypatch, tmp_path, capsys):
    """A function that runs mnist_mlp with options. Returns its output, or the message of the error that ends it."""
    from support.cli import LessonError

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINIGRAD_DATA", raising=False)
    skip_plots(monkeypatch)

    def call(*options):
        monkeypatch.setattr(sys, "argv", ["mnist_mlp.py", *map(str, options)])
        try:
            main_job.main()
        except (LessonError, CheckpointError, OSError) as error:
            message, code = str(error), getattr(error, "code", 2)
        else:
            return "".join(capsys.readouterr())
        assert (code, message.count("\n")) == (2, 0)
        return f"error: {message}"

    return call


ADAM = ["--hidden", 8, "--optimizer", "adam", "--out", "runs"]


def test_checkpoint_within_an_epoch_is_bit_identical(lesson, main_job, monkeypatch, tmp_path):
    from support import checkpoint
    from support.cli import LessonError

    lesson(*ADAM[:-1], "alone", "--epochs", 3)
    undisturbed, real, count = results(tmp_path / "alone"), checkpoint.save, 0

    def save_and_stop(path, model, optimizer, progress, notes):
        nonlocal count
        real(path, model, optimizer, progress, notes)
        count += 1
        if count % 7 == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", save_and_stop)
    stops, batches, job = 0, set(), ["mnist_mlp.py", *map(str, ADAM), "--epochs", "3", "--checkpoint-every", "0"]
    while True:
        monkeypatch.setattr(sys, "argv", [*job, "--resume"])
        try:
            main_job.main()
            break
        except LessonError as error:
            stops += error.code == 130
        state, _ = load_with_notes(tmp_path / "runs" / "checkpoint.safetensors")
        batches.add(state["position"].tolist()[0])
    assert stops == 3 * (45 + 1) // 7
    assert len(batches) > 5
    assert results(tmp_path / "runs") == undisturbed
    assert all(float(row.split(",")[-1]) > 0 for row in (tmp_path / "runs/history.csv").read_text().split()[1:])


def test_fewer_epochs_than_done_is_an_error(lesson, tmp_path):
    lesson(*ADAM, "--epochs", 3)
    before = contents(tmp_path / "runs")
    assert "is in epoch 3 already: add --epochs 3 or more" in lesson(*ADAM, "--epochs", 2, "--resume")
    assert contents(tmp_path / "runs") == before
    assert len(rows(lesson(*ADAM, "--epochs", 3, "--resume"))) == 3


@pytest.mark.parametrize("name", ["numpy", "blas", "hardware"])
def test_other_versions_are_told(name, lesson, tmp_path):
    lesson(*ADAM, "--epochs", 1)
    path = tmp_path / "runs" / "checkpoint.safetensors"
    state, notes = load_with_notes(path)
    part = "device" if name == "hardware" else "versions"
    notes["run"][part][name] = "another"
    save_with_notes(state, path, notes)
    (tmp_path / "runs" / "run.json").write_text(json.dumps(notes["run"]))
    assert f"results may not be bit-identical: {name} another before, " in lesson(*ADAM, "--epochs", 2, "--resume")


def edited_states(state):
    """(name of the edit, state) for many edits of each field."""
    for name, value in state.items():
        others = {key: each for key, each in state.items() if key != name}
        yield f"{name} missing", others
        yield f"{name} renamed", {**others, f"{name}x": value}
        yield f"{name} of another shape", {**state, name: mg.cat([value.reshape(-1), value.reshape(-1)])}
        yield f"{name} flat", {**state, name: value.reshape(1, -1, 1)}
        yield f"{name} empty", {**state, name: value.reshape(-1)[:0]}
        yield f"{name} a number", {**state, name: mg.tensor(1.5)}
        kind = mg.float32 if value.dtype != mg.float32 else mg.float64
        yield f"{name} of another dtype", {**state, name: value.to(dtype=kind)}
    for added in ("optimizer.99.exp_avg", "optimizer.-1.step", "optimizer.0.velocity", "optimizer", "model.x", "x", ""):
        yield f"{added} added", {**state, added: mg.ones(2)}
    h = state["history"]
    for name, row in {"zero": h * 0, "nan": h * float("nan"), "more": mg.cat([h, h]), "columns": h[:, :5]}.items():
        yield f"history {name}", {**state, "history": row}
    for position in ([-1.0, 0.0], [0.5, 0.0], [0.0, -1.0], [float("nan"), 0.0], [0.0, float("inf")]):
        yield f"position {position}", {**state, "position": mg.tensor(position, dtype=mg.float64)}


def test_edited_checkpoints_are_refused(lesson, tmp_path):
    """With the checksum and the description of the run, so that each edit gets past them, and without."""
    lesson(*ADAM, "--epochs", 1)
    path = tmp_path / "runs" / "checkpoint.safetensors"
    good, whole = load_with_notes(path), path.read_bytes()
    edits = [(name, state, good[1]) for name, state in edited_states(good[0])]
    edits += [("no notes", good[0], {}), ("run a number", good[0], {**good[1], "run": 3})]
    edits += [(f"no {part}", good[0], {**good[1], "run": {k: v for k, v in good[1]["run"].items() if k != part}})
              for part in good[1]["run"] if part not in ("run", "files")]  # fmt: skip
    if not THOROUGH:
        edits = random.Random(0).sample(edits, 30)
    for name, state, notes in edits:
        save_with_notes(state, path, notes)
        before = contents(tmp_path / "runs")
        message = lesson(*ADAM, "--epochs", 2, "--resume")
        assert message.startswith("error: "), name
        assert contents(tmp_path / "runs") == before, name
        mg.save(state, path)
        assert "is not a checkpoint of this run" in lesson(*ADAM, "--epochs", 2, "--resume"), name
    path.write_bytes(whole)
    assert len(rows(lesson(*ADAM, "--epochs", 2, "--resume"))) == 2


def test_flipped_bits_of_a_checkpoint_are_refused(lesson, tmp_path):
    lesson(*ADAM, "--epochs", 1)
    path, places = tmp_path / "runs" / "checkpoint.safetensors", random.Random(0)
    whole = path.read_bytes()
    for i in range(256 if THOROUGH else 16):
        bit = places.randrange(8 * (2500 if i % 2 else len(whole)))  # every other one in the header
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert "checkpoint.safetensors" in lesson(*ADAM, "--epochs", 2, "--resume"), bit
        assert path.read_bytes() == damaged


def edited_json(value, path=()):
    """(place, document) for edits of every value of a JSON document."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        place = (*path, key)
        for edit in (None, [], {}, "x", 3.5, -1):
            if edit != child:
                yield f"{place} = {edit}", {**value, key: edit} if isinstance(value, dict) else [
                    *value[:key], edit, *value[key + 1 :]
                ]  # fmt: skip
        if isinstance(value, dict):
            yield f"{place} missing", {k: v for k, v in value.items() if k != key}
        for name, edited in edited_json(child, place):
            yield name, {**value, key: edited} if isinstance(value, dict) else [*value[:key], edited, *value[key + 1 :]]


def test_edited_metadata_is_refused(lesson, tmp_path):
    lesson(*ADAM, "--epochs", 1)
    path = tmp_path / "runs" / "run.json"
    good = json.loads(path.read_text())
    edits = [(name, json.dumps(document)) for name, document in edited_json(good)]
    edits += [("nested", "[" * 200_000), ("empty", ""), ("bytes", "\ud800"), ("list", "[]"), ("null", "null")]
    for name, text in edits if THOROUGH else random.Random(0).sample(edits, 20) + edits[-5:]:
        path.write_text(text, errors="surrogatepass")
        before = contents(tmp_path / "runs")
        message = lesson(*ADAM, "--epochs", 2, "--resume")
        assert message.startswith("error: "), name
        assert contents(tmp_path / "runs") == before, name
    path.write_text(json.dumps(good))
    assert len(rows(lesson(*ADAM, "--epochs", 2, "--resume"))) == 2
