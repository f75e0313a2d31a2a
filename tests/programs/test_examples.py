"""The lessons, run from the command line: their output and files, and a one-line message for each error."""

from __future__ import annotations

import csv
import json
import os
import re
import select
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from helpers import fake_gpu

ROOT = Path(__file__).resolve().parents[2]
LESSONS = ["linear_regression", "mnist_logistic", "mnist_mlp", "your_own_op"]
COLUMNS = ["epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds"]
PLOTS = ["curves.png", "mistakes.png", "surface.png", "weights.png"]
Done = subprocess.CompletedProcess[str]


def command(lesson: str, *options: object) -> list[str]:
    return [sys.executable, str(ROOT / "examples" / f"{lesson}.py"), *map(str, options)]


def environment(*first: Path, **variables: str) -> dict[str, str]:
    """This environment without MINIGRAD_DATA; the import path is the folders `first`, then the project."""
    env = {name: value for name, value in os.environ.items() if name != "MINIGRAD_DATA"}
    env["OPENBLAS_NUM_THREADS"] = "1"  # the matrices are too small for threads
    return {**env, "PYTHONPATH": os.pathsep.join(map(str, (*first, ROOT))), **variables}


def run(folder: Path, lesson: str, *options: object, env: dict[str, str] | None = None) -> Done:
    """Run a lesson in this folder."""
    return subprocess.run(
        command(lesson, *options),
        cwd=folder,
        env=env or environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def succeeds(done: Done) -> str:
    """The output of a lesson that exited with 0 and an empty stderr."""
    assert (done.returncode, done.stderr) == (0, ""), done.stderr + done.stdout
    return done.stdout


def fails(done: Done, code: int = 2) -> str:
    """The one line on stderr of a lesson that exited with this code."""
    assert done.returncode == code, done.stderr + done.stdout
    assert re.fullmatch(r"\w+\.py: [^\n]+\n", done.stderr), done.stderr
    return done.stderr


def rows(text: str) -> list[list[float]]:
    """The rows of the table: lines that begin with a number."""
    lines = [line.replace("%", "").replace(",", "").split() for line in text.splitlines() if re.match(r" +\d", line)]
    return [[float(word) for word in line] for line in lines]


def broken_module(folder: Path, name: str) -> Path:
    """A folder with a module whose import fails, as if it were not installed."""
    (folder / f"{name}.py").write_text(f'raise ModuleNotFoundError("No module named {name!r}", name={name!r})\n')
    return folder


@pytest.fixture
def main_job(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """examples/mnist_mlp.py as a module, with the strict device among its backends."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import mnist_mlp
    from support import cli

    monkeypatch.setitem(cli.DEVICES, "strict", "strict")
    yield mnist_mlp
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and "examples" in str(sys.modules[name].__file__):
            del sys.modules[name]


# Each lesson
@pytest.mark.parametrize("lesson", LESSONS)
def test_help_has_lesson_and_options(lesson, tmp_path):
    text = succeeds(run(tmp_path, lesson, "--help"))
    assert "Lesson" in text
    assert "--backend {numpy,cupy}" in text


def test_linear_regression_finds_the_plane(tmp_path):
    text = succeeds(run(tmp_path, "linear_regression"))
    true, found = (
        [float(number) for number in re.findall(r"[+-]?\d+\.\d+", line)]
        for line in re.findall(r"(?:true plane|found): .*", text)
    )
    assert true == [2, -3, 1]
    assert found == pytest.approx(true, abs=0.03)
    steps = re.findall(r"([+-]\d+\.\d+) (too high, step down|too low, step up)", text)
    assert {words for _, words in steps} == {"too high, step down", "too low, step up"}
    assert all((float(gradient) > 0) == (words == "too high, step down") for gradient, words in steps)


def test_logistic_prints_epoch_of_90_percent(tmp_path):
    text = succeeds(run(tmp_path, "mnist_logistic", "--epochs", 60, "--lr", 0.5))
    table = rows(text)
    assert [row[0] for row in table] == list(range(1, 61))
    first = next(int(row[0]) for row in table if row[2] >= 90)
    assert f"90 % test accuracy was reached in epoch {first}." in text


def test_logistic_prints_if_90_percent_is_missed(tmp_path):
    assert "90 % test accuracy was not reached in 1 epochs" in succeeds(run(tmp_path, "mnist_logistic", "--epochs", 1))


def test_own_op_passes_gradcheck_and_trains(tmp_path):
    text = succeeds(run(tmp_path, "your_own_op"))
    assert re.search(r"gradcheck of swish, .*passed", text)
    assert re.search(r"gradcheck of swish_with_a_mistake, .*FAILED", text)
    assert rows(text[text.index("test accuracy") :])[-1][2] >= 93


# The main job
def test_mlp_defaults_to_the_bundled_digits(tmp_path):
    text = succeeds(run(tmp_path, "mnist_mlp"))
    messages = [line for line in text.splitlines() if "bundled digits" in line]
    assert len(messages) == 1
    assert "No MNIST in the folder data" in messages[0]
    assert "--dataset mnist" in messages[0]
    assert "Linear(in_features=64, out_features=128, bias=True)" in text
    table = rows(text)
    assert table[-1][4] >= 95
    first = next(int(row[0]) for row in table if row[4] >= 90)
    assert f"90 % test accuracy was reached in epoch {first}." in text
    assert list(tmp_path.iterdir()) == []  # nothing is written without --out


def test_out_writes_history_metadata_and_plots(tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mistakes.png").write_text("an earlier run")
    options = (
        "--hidden 32 16 --epochs 3 --batch-size 50 --lr 0.01 --optimizer adamw --dtype float64 --seed 7 --out runs "
        "--overwrite"
    )
    text = succeeds(run(tmp_path, "mnist_mlp", *options.split()))
    written = {file.name for file in (tmp_path / "runs").iterdir()}
    shown = {"history.csv", "run.json", "weights.safetensors", *PLOTS}
    assert written == {*shown, "checkpoint.safetensors"}
    assert set(re.findall(r"Written to runs: (.*)", text)[0].split(", ")) == shown
    with open(tmp_path / "runs" / "history.csv", newline="") as file:
        header, *history = csv.reader(file)
    assert header == COLUMNS
    for row, shown in zip(history, rows(text), strict=True):
        epoch, train_loss, train_accuracy, test_loss, test_accuracy, seconds = map(float, row)
        accuracies = [100 * train_accuracy, 100 * test_accuracy]
        assert [epoch, train_loss, accuracies[0], test_loss, accuracies[1]] == pytest.approx(shown[:5], abs=0.006)
        assert train_accuracy * 1438 == pytest.approx(round(train_accuracy * 1438), abs=1e-6)  # images of each set
        assert test_accuracy * 359 == pytest.approx(round(test_accuracy * 359), abs=1e-6)
        assert seconds > 0
    record = json.loads((tmp_path / "runs" / "run.json").read_text())
    assert record["options"] == {
        "hidden": [32, 16],
        "epochs": 3,
        "batch_size": 50,
        "lr": 0.01,
        "optimizer": "adamw",
        "momentum": 0.0,
        "weight_decay": 0.01,
        "dtype": "float64",
        "seed": 7,
        "out": "runs",
        "dataset": "digits",
        "data_dir": None,
        "detect_anomaly": False,
        "backend": "numpy",
    }
    assert {"python", "numpy", "minigrad"} <= set(record["versions"])
    assert record["device"]["name"] == "cpu"
    assert record["data"]["name"] == "digits"
    assert all(re.fullmatch("[0-9a-f]{64}", record["data"]["checksum"][part]) for part in ("train", "test"))
    for name in PLOTS:
        start = (tmp_path / "runs" / name).read_bytes()[:24]
        assert start[:8] == b"\x89PNG\r\n\x1a\n"
        assert min(struct.unpack(">II", start[16:24])) > 300


def test_weights_depend_on_seed_not_on_hash_seed(tmp_path):
    pytest.importorskip("matplotlib")

    def weights(hash_seed: str, seed: int = 0) -> bytes:
        out = tmp_path / f"{seed}-{hash_seed}"
        options = ["--hidden", 32, "--epochs", 2, "--momentum", 0.9, "--seed", seed, "--out", out]
        succeeds(run(tmp_path, "mnist_mlp", *options, env=environment(PYTHONHASHSEED=hash_seed)))
        return (out / "weights.safetensors").read_bytes()

    first = weights("0")
    assert weights("1") == weights("2") == first
    assert weights("0", seed=1) != first


@pytest.mark.parametrize("options", ["--optimizer sgd --momentum 0.9", "--optimizer adam", "--weight-decay 0.01"])
def test_optimizers_reduce_the_loss(options, tmp_path):
    table = rows(succeeds(run(tmp_path, "mnist_mlp", "--epochs", 8, *options.split())))
    assert table[-1][1] < 0.5 * table[0][1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mlp_runs_on_each_backend(backend, dtype, main_job, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    options = f"--backend {backend} --dataset digits --epochs 8 --dtype {dtype}"
    monkeypatch.setattr(sys, "argv", ["mnist_mlp.py", *options.split()])
    main_job.main()
    table = rows(capsys.readouterr().out)
    assert len(table) == 8
    assert table[-1][4] > 80


def test_training_copies_nothing_from_the_device(main_job):
    from minigrad import data

    def copies(batch_size: int) -> int:
        digits = data.Digits(train=True).to("strict")
        model = main_job.build_model([64, 8, 10], "float32").to("strict")
        options = main_job.argparse.Namespace(optimizer="sgd", lr=0.1, momentum=0.9, weight_decay=0.0)
        batches = data.DataLoader(digits, batch_size, shuffle=True, seed=0)
        before = fake_gpu.host_copies()
        main_job.train_one_epoch(model, batches, main_job.build_optimizer(model, options), "float32")
        return fake_gpu.host_copies() - before

    assert copies(16) == copies(256) <= 1  # the loader reads the labels once


def test_mistakes_are_complete_and_sorted(main_job):
    pytest.importorskip("matplotlib")
    from support.run_folder import find_mistakes

    import minigrad as mg
    from minigrad import data

    mg.manual_seed(0)
    digits = data.Digits(train=False)
    batches = data.DataLoader(digits, 100)
    model = main_job.build_model([64, 10], "float32")
    _, accuracy = main_job.evaluate(model, batches, "float32")
    mistakes = find_mistakes(model, batches, "float32")
    assert len(mistakes) == round((1 - accuracy) * len(digits)) > 0
    assert all(mistake.label != mistake.prediction for mistake in mistakes)
    probabilities = [mistake.probability for mistake in mistakes]
    assert probabilities == sorted(probabilities, reverse=True)
    scores = [model(mg.tensor([[mistake.image]])).softmax(dim=1) for mistake in mistakes[:5]]
    assert [int(p.argmax()) for p in scores] == [mistake.prediction for mistake in mistakes[:5]]
    assert [float(p.max()) for p in scores] == pytest.approx(probabilities[:5], rel=1e-5)


@pytest.mark.parametrize("count", [0, 3, 100])
def test_mistakes_sheet_of_any_size(count, main_job, tmp_path):
    pytest.importorskip("matplotlib")
    from support import plots

    mistake = plots.Mistake([[0.0, 1.0], [1.0, 0.0]], 1, 0, 0.9)
    plots.mistakes_sheet([mistake] * count, 1000, ["T-shirt/top", "Ankle boot"], tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 3000


def test_first_weights_are_images_sorted_by_norm(main_job):
    pytest.importorskip("matplotlib")
    from support.run_folder import first_weights

    import minigrad as mg

    model = main_job.build_model([6, 3, 2], "float32")
    weight = [[1.0] * 6, [float(i) for i in range(6)], [0.0] * 6]
    model[1].weight = mg.nn.Parameter(mg.tensor(weight))
    largest = [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert first_weights(model, (2, 3)) == [largest, [[1.0] * 3] * 2, [[0.0] * 3] * 2]


def test_loss_surface_has_losses_of_real_steps(main_job):
    from support.loss_surface import measure

    import minigrad as mg
    from minigrad import data, optim
    from minigrad.nn import functional as F

    def fresh() -> mg.nn.Module:
        mg.manual_seed(0)
        return main_job.build_model([64, 64, 10], "float64")

    images, labels = next(iter(data.DataLoader(data.Digits(train=True), 50)))
    images = images.to(dtype="float64")
    model = fresh()
    surface = measure(model, images, labels, points=7)
    assert {name: p.tolist() for name, p in model.named_parameters()} == {
        name: p.tolist() for name, p in fresh().named_parameters()
    }
    assert all(parameter.grad is None for parameter in model.parameters())
    for rate, expected in list(zip(surface.rates, surface.stepped))[::7]:
        model = fresh()
        F.cross_entropy(model(images), labels).backward()
        optim.SGD(model.parameters(), lr=rate).step()
        assert F.cross_entropy(model(images), labels).item() == pytest.approx(expected, rel=1e-9)
    assert surface.loss > min(surface.stepped)  # there is a valley
    assert max(surface.stepped) > 2 * surface.loss  # and its far side
    small = surface.rates[0]  # so small that the first-order prediction is exact
    assert surface.loss - surface.stepped[0] == pytest.approx(small * surface.slope**2, rel=0.01)
    assert (len(surface.plane), len(surface.plane[0])) == (len(surface.across), len(surface.along)) == (7, 7)
    middle = surface.across.index(0)
    flat = max(abs(row[0] - surface.plane[middle][0]) for row in surface.plane)
    assert flat < (max(surface.plane[middle]) - min(surface.plane[middle])) / 2  # a random direction changes less


@pytest.mark.parametrize("scale", [0.0, 1e6])
def test_loss_surface_plot_of_zero_and_huge_weights(scale, main_job, tmp_path):
    pytest.importorskip("matplotlib")
    from support import plots
    from support.loss_surface import measure

    import minigrad as mg
    from minigrad import data

    images, labels = next(iter(data.DataLoader(data.Digits(train=True), 50)))
    model = main_job.build_model([64, 8, 10], "float32")
    with mg.no_grad():
        for parameter in model.parameters():
            parameter *= scale
    plots.landscape(measure(model, images, labels, points=5), 0.1, tmp_path / "surface.png")
    assert (tmp_path / "surface.png").stat().st_size > 3000


# Real MNIST
def test_real_mnist_trains(mnist_root, tmp_path):
    env = environment(MINIGRAD_DATA=str(mnist_root))
    text = succeeds(run(tmp_path, "mnist_mlp", "--hidden", 32, "--epochs", 1, env=env))
    assert "mnist: 60,000 images to learn from, 10,000 to test on" in text
    assert rows(text)[-1][4] > 87
    text = succeeds(run(tmp_path, "mnist_logistic", "--data-dir", mnist_root, "--dataset", "mnist", "--epochs", 1))
    assert rows(text)[-1][2] > 60


# Errors
BAD_OPTIONS = [
    ("mnist_mlp", "--hidden 0", "--hidden: expected a whole number of 1 or more, got '0'"),
    ("mnist_mlp", "--hidden 32 x", "--hidden: expected a whole number of 1 or more, got 'x'"),
    ("mnist_mlp", "--hidden", "--hidden"),
    ("mnist_mlp", "--hidden 99999999999", "--hidden: expected 1000000 at most"),
    ("mnist_mlp", "--lr nan", "--lr: expected a number above 0, got 'nan'"),
    ("mnist_mlp", "--lr inf", "--lr: expected a number above 0, got 'inf'"),
    ("mnist_mlp", "--lr 0", "--lr: expected a number above 0, got '0'"),
    ("mnist_mlp", "--lr=-1", "--lr: expected a number above 0, got '-1'"),
    ("mnist_mlp", "--batch-size 0", "--batch-size: expected a whole number of 1 or more, got '0'"),
    ("mnist_mlp", "--epochs 1.5", "--epochs: expected a whole number of 1 or more, got '1.5'"),
    ("mnist_mlp", "--momentum 1", "--momentum: expected a number of 0 or more and below 1, got '1'"),
    ("mnist_mlp", "--momentum 0.9 --optimizer adam", "only sgd has it"),
    ("mnist_mlp", "--weight-decay nan", "--weight-decay: expected a number of 0 or more, got 'nan'"),
    ("mnist_mlp", "--seed=-1", "--seed: expected a whole number of 0 or more, got '-1'"),
    ("mnist_mlp", "--dtype float16", "--dtype: invalid choice: 'float16'"),
    ("mnist_mlp", "--optimizer lbfgs", "--optimizer: invalid choice: 'lbfgs'"),
    ("mnist_mlp", "--dataset cifar", "--dataset: invalid choice: 'cifar'"),
    ("mnist_mlp", "--backend jax", "--backend: invalid choice: 'jax'"),
    ("mnist_mlp", "--hiden 3", "unrecognized arguments: --hiden 3"),
    ("mnist_mlp", "--dataset mnist", "train-images-idx3-ubyte"),
    ("mnist_mlp", "--dataset fashion --data-dir .", "train-images-idx3-ubyte"),
    ("mnist_mlp", "--data-dir nowhere", "cannot use nowhere: No such file or directory"),
    ("mnist_mlp", "--data-dir a-file", "cannot use a-file: Not a directory"),
    ("mnist_mlp", "--epochs 1 --out a-file", "cannot use a-file: "),
    ("mnist_mlp", "--epochs 1 --out a-file/below", "cannot use a-file/below: Not a directory"),
    ("mnist_logistic", "--lr nan", "--lr: expected a number above 0, got 'nan'"),
    ("mnist_logistic", "--dataset mnist", "train-images-idx3-ubyte"),
    ("linear_regression", "--points 0", "--points: expected a whole number of 1 or more, got '0'"),
    ("your_own_op", "--epochs 0", "--epochs: expected a whole number of 1 or more, got '0'"),
]


@pytest.mark.parametrize(("lesson", "options", "expected"), BAD_OPTIONS, ids=[" ".join(c[:2]) for c in BAD_OPTIONS])
def test_bad_options_are_reported_in_one_line(lesson, options, expected, tmp_path):
    (tmp_path / "a-file").write_text("")
    assert expected in fails(run(tmp_path, lesson, *options.split()))


@pytest.mark.parametrize("lesson", LESSONS)
def test_missing_cupy_names_the_package(lesson, tmp_path):
    env = environment(broken_module(tmp_path, "cupy"))
    line = fails(run(tmp_path, lesson, "--backend", "cupy", env=env))
    assert "needs CuPy, which is not installed" in line
    assert "pip install cupy-cuda" in line


@pytest.mark.parametrize("count", ["return 0", "raise CUDARuntimeError('no CUDA-capable device\\n is detected')"])
def test_missing_cuda_device_is_reported(count, tmp_path):
    (tmp_path / "cupy.py").write_text(
        "from types import SimpleNamespace\n"
        "class CUDARuntimeError(RuntimeError): pass\n"
        f"def getDeviceCount(): {count}\n"
        "runtime = SimpleNamespace(CUDARuntimeError=CUDARuntimeError, getDeviceCount=getDeviceCount)\n"
        "__version__, cuda = '14.0', SimpleNamespace(runtime=runtime)\n"
    )
    line = fails(run(tmp_path, "mnist_mlp", "--backend", "cupy", env=environment(tmp_path)))
    assert "finds no CUDA device" in line
    assert "--backend numpy" in line


@pytest.mark.parametrize("dataset", ["auto", "mnist"])
def test_truncated_mnist_file_is_an_error(dataset, tmp_path):
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, 60_000, 28, 28) + bytes(1000))
    (raw / "train-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 60_000) + bytes(60_000))
    line = fails(run(tmp_path, "mnist_mlp", "--dataset", dataset))
    assert "train-images-idx3-ubyte" in line


def test_incomplete_mnist_is_an_error(tmp_path):
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 60_000) + bytes(60_000))
    assert "train-images-idx3-ubyte" in fails(run(tmp_path, "mnist_mlp"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read and write everything")
@pytest.mark.parametrize(("option", "mode"), [("--data-dir", 0o000), ("--out", 0o500)])
def test_folder_without_permission_is_an_error(option, mode, tmp_path):
    (tmp_path / "closed").mkdir(mode)
    assert "Permission denied" in fails(run(tmp_path, "mnist_mlp", "--epochs", 1, option, "closed"))


def test_out_without_matplotlib_fails_before_training(tmp_path):
    env = environment(broken_module(tmp_path, "matplotlib"))
    done = run(tmp_path, "mnist_mlp", "--out", "runs", env=env)
    assert "pip install matplotlib" in fails(done)
    assert rows(done.stdout) == []


def test_mlp_runs_without_tqdm(tmp_path):
    env = environment(broken_module(tmp_path, "tqdm"))
    assert len(rows(succeeds(run(tmp_path, "mnist_mlp", "--epochs", 2, env=env)))) == 2


def test_terminal_shows_a_progress_bar(tmp_path):
    pytest.importorskip("tqdm")
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    try:
        pytest.importorskip("fcntl").ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        done = subprocess.run(
            command("mnist_mlp", "--epochs", 1),
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=theirs,
            timeout=120,
        )
        assert done.returncode == 0
        assert select.select([ours], [], [], 0)[0], "the terminal is empty"
        assert "epoch 1" in os.read(ours, 100_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("lesson", LESSONS)
def test_infinite_loss_suggests_a_smaller_lr(lesson, tmp_path):
    line = fails(run(tmp_path, lesson, "--lr", 3e38), code=1)
    assert "try a smaller --lr than 3e+38" in line


def test_closed_output_is_not_an_error(tmp_path):
    with subprocess.Popen(
        command("mnist_mlp", "--epochs", 1000), cwd=tmp_path, env=environment(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 141
