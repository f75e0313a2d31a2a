"""The two lessons on backprop: on paper with fractions, and frame by frame in the player."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import minigrad as mg

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(lesson, *options, cwd):
    path = str(Path(mg.__file__).parent.parent)
    command = [sys.executable, str(EXAMPLES / f"{lesson}.py"), *map(str, options)]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=120
    )


def test_numbers_on_paper_equal_the_engine_exactly(tmp_path):
    done = run("backprop_by_hand", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = re.findall(r"^  (\S+) += .* = (\S+) +minigrad: (\S+)$", done.stdout, re.MULTILINE)
    assert len(lines) == 49
    assert all(paper == engine for _, paper, engine in lines)
    assert "49 numbers on paper, 49 equal in minigrad, exactly." in done.stdout
    assert {"L", "dL/db₁[0]", "dL/dW₂[1][1]", "W₁[0][0]"} <= {name for name, _, _ in lines}


def test_wrong_relu_is_found_on_paper(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import backprop_by_hand

    relu = mg.Tensor.relu

    def leaky(self):
        return relu(self) + self * 2**-40

    monkeypatch.setattr(mg.Tensor, "relu", leaky)
    with pytest.raises(SystemExit, match=r"h\[0\]\[0\]: on paper 1, minigrad computes 1099511627777/1099511627776"):
        backprop_by_hand.main()


def test_player_lesson_writes_its_page(tmp_path):
    done = run("backprop_player", "--out", "step.html", "--hidden", 4, "--batch-size", 6, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    page = json.loads(re.search(r'id="recording">(.*?)</script>', (tmp_path / "step.html").read_text("utf-8"))[1])
    frames, batch = map(int, re.search(r"(\d+) frames.*\nFrame (\d+) shows why", done.stdout).groups())
    assert len(page["frames"]) == frames
    assert "sum over the batch" in page["frames"][batch - 1]["title"]
    before, after = map(float, re.search(r"was ([\d.]+); after the step it is ([\d.]+)\.", done.stdout).groups())
    assert after < before


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--hidden", "0"], "--hidden: expected a whole number of 1 or more, got '0'"),
        (["--batch-size", "x"], "--batch-size: expected a whole number"),
        (["--lr", "nan"], "--lr: expected a number above 0, got 'nan'"),
        (["--backend", "jax"], "--backend: invalid choice: 'jax'"),
        (["--out", "."], "--out: expected a file to write, got the folder ."),
        (["--out", "nowhere/step.html"], "cannot use nowhere/step.html: No such file or directory"),
        (["--speed"], "unrecognized arguments: --speed"),
    ],
)
def test_player_lesson_reports_bad_options_in_one_line(options, expected, tmp_path):
    done = run("backprop_player", *options, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert expected in done.stderr
