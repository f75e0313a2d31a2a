"""The README is the front door: what it shows runs, what it names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_python_blocks_run_and_say_what_they_promise(capsys):
    names = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert abs(names["w"].detach().numpy() - 1).max() < 0.1
    printed = capsys.readouterr().out
    assert "tensor([[" in printed
    assert "softsign" in names
    assert blocks("text") == [names["step"].source]


def test_there_are_two_commands_and_each_does_its_own_setup():
    section = README.split("## Two commands", 1)[1].split("\n## ", 1)[0]
    commands = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert len(commands) == 2
    for command in commands:
        assert "-m venv" in command
        assert "pip install" in command


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_links_lead_somewhere(link):
    assert link.startswith("http") or (ROOT / link).exists()


@pytest.mark.parametrize("script", sorted(set(re.findall(r"(?:examples|benchmarks)/\w+\.py", README))))
def test_scripts_exist(script):
    assert (ROOT / script).exists()
