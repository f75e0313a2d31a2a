"""What a session of mutation testing found: the score of each file, and the survivors."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from cosmic_ray.work_db import WorkDB
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkItem, WorkResult

ENOUGH = 0.95


def report(db: WorkDB, only: list[str], explained: Path) -> int:
    """Print both; 1 if too few were killed or a survivor has no explanation, else 0."""
    killed: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for item, result in db.completed_work_items:
        file = str(item.mutations[0].module_path)
        if result.worker_outcome != WorkerOutcome.SKIPPED and (not only or file in only):
            total[file] += 1
            killed[file] += result.is_killed
    for file in sorted(total):
        print(f"{file:34}{total[file]:6}{killed[file]:6}{killed[file] / total[file]:8.1%}")
    score = killed.total() / max(total.total(), 1)
    print(f"{'all':34}{total.total():6}{killed.total():6}{score:8.1%}")
    found = strangers(db, explained)
    for item, result in found:
        mutation = item.mutations[0]
        print(f"{mutation.module_path}:{mutation.start_pos[0]} in {mutation.definition_name}, {result.output}")
        print(f"    {change(result)}")
    print(f"{len(found)} survivors have no explanation in {explained.name}")
    return int(score < ENOUGH or bool(found))


def strangers(db: WorkDB, explained: Path) -> list[tuple[WorkItem, WorkResult]]:
    """The survivors that the file `explained` does not have under the heading of their own file or folder."""
    sections = re.split("^## ", explained.read_text(), flags=re.MULTILINE)[1:]  # each begins with a file or a folder
    done = sorted(
        db.completed_work_items,
        key=lambda each: (str(each[0].mutations[0].module_path), each[0].mutations[0].start_pos),
    )

    def is_explained(item: WorkItem, result: WorkResult) -> bool:
        file = str(item.mutations[0].module_path)
        return any(change(result) in part for part in sections if file.startswith(part.split()[0].rstrip(":")))

    survived = [each for each in done if each[1].test_outcome == TestOutcome.SURVIVED]
    return [(item, result) for item, result in survived if not is_explained(item, result)]


def change(result: WorkResult) -> str:
    """The mutated line: `before` → `after`, as survivors.md has it."""
    lines = (result.diff or "").splitlines()
    before = [line[1:].strip() for line in lines if line.startswith("-") and not line.startswith("---")]
    after = [line[1:].strip() for line in lines if line.startswith("+") and not line.startswith("+++")]
    return f"`{' '.join(before)}` → `{' '.join(after)}`"
