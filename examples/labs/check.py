"""Checks a step: lists the holes that are left in my_engine.py, and runs the conformance suite at the step's level.

python examples/labs/check.py 2
"""

import os
import re
import subprocess  # nosec B404 # it starts the check of this project
import sys
from pathlib import Path

LABS = Path(__file__).parent
LEVELS = {  # of each step
    "1": ["scalars"],
    "2": ["arrays"],
    "3": ["network"],
    "4": ["network"],
    "5": ["training"],
    "6": ["scalars", "arrays", "network", "training"],
}


def shown(path: Path) -> str:
    """A path relative to this folder, if it is below it."""
    return os.path.relpath(path) if Path.cwd() in path.resolve().parents else str(path)


def problems(text: str, step: str) -> list[str]:
    """The steps up to this one that are not in the engine, and their holes."""
    steps = [number for number in LEVELS if number <= step]
    lacking = [number for number in steps if f"# Step {number}:" not in text]
    append = "step {0} is not in my_engine.py; run: cat {1}/step{0}.py >> my_engine.py"
    found = [append.format(number, shown(LABS)) for number in lacking]
    for hole, number, letter in sorted(re.findall(r'NotImplementedError\("(step (\d)(\w): [^"]*)"\)', text)):
        if number in steps:
            found.append(f"{hole} (hint: python {shown(LABS)}/hint.py {number}{letter} 1)")
    return found


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in LEVELS:
        sys.exit("check.py: expected the number of a step, 1 to 6")
    step, engine = sys.argv[1], Path("my_engine.py")
    if not engine.exists():
        sys.exit(f"check.py: expected my_engine.py in this folder; run: cp {shown(LABS)}/step1.py my_engine.py")
    left = problems(engine.read_text(encoding="utf-8"), step)
    if left:
        print("left to do", *left, sep="\n  ", end="\n\n", flush=True)
    command = ["-m", "minigrad", "check", "--engine", str(LABS / "adapter.py"), "--level", *LEVELS[step]]
    failed = subprocess.run([sys.executable, *command]).returncode  # nosec B603 # no shell, fixed arguments
    if step in "56" and not left and not failed:
        sys.path.insert(0, str(Path.cwd()))
        from train_digits import train_digits

        failed = not train_digits()
    sys.exit(1 if left or failed else 0)


if __name__ == "__main__":
    main()
