"""The README: its code runs, its commands and links are right, and its sections are in order."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_python_blocks_run_and_print_as_described(capsys):
    names = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert abs(names["w"].detach().numpy() - 1).max() < 0.1
    printed = capsys.readouterr().out
    assert "tensor([[" in printed
    assert "gradcheck of softsign, gradient: passed" in printed


def test_sections_are_in_order():
    assert re.findall(r"^## (.*)", README, re.MULTILINE) == [
        "Ten lines",
        "An op",
        "A training step, frame by frame",
        "Two commands",
        "Figures",
        "Where to read next",
        "Limits",
    ]
    introduction = README.split("\n## ", 1)[0].removeprefix("# minigrad\n").strip()
    assert len(re.findall(r"[.!?](?:\s|$)", introduction)) == 1  # one sentence


def test_article_is_named_once_with_its_author():
    assert README.count('"Multilayer Model in PyTorch" (G. A. Lima, 2021)') == 1
    assert "article" not in README.replace("an article,", "").replace("test_article", "")


def test_two_commands_do_their_own_setup():
    section = README.split("## Two commands", 1)[1].split("\n## ", 1)[0]
    commands = blocks("sh", section)
    assert len(commands) == 2
    for command in commands:
        assert "-m venv" in command
        assert "pip install" in command


@pytest.mark.parametrize("link", sorted(set(re.findall(r'(?:\]\(|src(?:set)?=")([^)#"]+)', README))))
def test_links_exist(link):
    assert link.startswith("http") or (ROOT / link).exists()


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`(?:MINIGRAD_\w+=\w+ )?python ([^`]+)`", README))))
def test_commands_name_existing_files_and_options(command):
    script, *words = shlex.split(command)
    text = ""
    if script == "-m":
        module, *words = words
        assert module in ("minigrad", "pytest")
        if module == "pytest":
            assert (ROOT / words[0]).exists()
            text = (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")
        else:
            files = ("__main__.py", "testing/conformance/command.py")
            text = "".join((ROOT / "minigrad" / file).read_text(encoding="utf-8") for file in files)
            assert f'"{words[0]}"' in text
    else:
        text = (ROOT / script).read_text(encoding="utf-8")
        for module in re.findall(r"from support\.(\w+)", text):
            text += (ROOT / "examples" / "support" / f"{module}.py").read_text(encoding="utf-8")
    for option in words:
        if option.startswith("--"):
            assert f'"{option}"' in text, option
