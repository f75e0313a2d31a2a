"""The results of a mutation session: the score of each file, and the survivors that survivors.md does not explain."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from cosmic_ray.work_db import WorkDB
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkItem, WorkResult

ENOUGH = 0.95


def report(db: WorkDB, only: list[str], survivors: Path) -> int:
    """Print the results. Returns 1 if too few were killed or a survivor is unexplained, else 0."""
    killed: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for item, result in db.completed_work_items:
        file = path_of(item)
        if result.worker_outcome != WorkerOutcome.SKIPPED and (not only or file in only):
            total[file] += 1
            killed[file] += result.is_killed
    for file in sorted(total):
        print(f"{file:34}{total[file]:6}{killed[file]:6}{killed[file] / total[file]:8.1%}")
    score = killed.total() / max(total.total(), 1)
    print(f"{'all':34}{total.total():6}{killed.total():6}{score:8.1%}")
    found = [each for each in unexplained(db, survivors) if not only or path_of(each[0]) in only]
    for item, result in found:
        mutation = item.mutations[0]
        print(f"{mutation.module_path}:{mutation.start_pos[0]} in {mutation.definition_name}, {result.output}")
        print(f"    {change(result)}")
    print(f"{len(found)} survivors are not explained in {survivors.name}")
    return int(score < ENOUGH or bool(found))


def unexplained(db: WorkDB, survivors: Path) -> list[tuple[WorkItem, WorkResult]]:
    """The survivors without an entry in survivors.md under the heading of their file or folder."""
    sections = re.split("^## ", survivors.read_text(), flags=re.MULTILINE)[1:]  # each starts with a file or folder
    done = sorted(
        db.completed_work_items,
        key=lambda each: (path_of(each[0]), each[0].mutations[0].start_pos),
    )

    def is_explained(item: WorkItem, result: WorkResult) -> bool:
        own = (section for section in sections if path_of(item).startswith(section.split()[0]))
        return any(change(result) in section for section in own)

    survived = [each for each in done if each[1].test_outcome == TestOutcome.SURVIVED]
    return [(item, result) for item, result in survived if not is_explained(item, result)]


def path_of(item: WorkItem) -> str:
    return str(item.mutations[0].module_path)


def change(result: WorkResult) -> str:
    """The mutated line as in survivors.md: `before` → `after`."""
    lines = (result.diff or "").splitlines()
    before = [line[1:].strip() for line in lines if line.startswith("-") and not line.startswith("---")]
    after = [line[1:].strip() for line in lines if line.startswith("+") and not line.startswith("+++")]
    return f"`{' '.join(before)}` → `{' '.join(after)}`"
