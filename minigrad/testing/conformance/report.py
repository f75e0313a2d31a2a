"""The report: a table by level, a counterexample for each failure; or JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from .adapter import Engine
from .requirements import LEVELS, REQUIREMENTS, Requirement
from .search import QUICK, Effort, PartResult, search


@dataclasses.dataclass
class Result:
    """The results of one requirement, part by part."""

    requirement: Requirement
    parts: list[PartResult]

    def of(self, status: str) -> list[PartResult]:
        """The parts with this status."""
        return [part for part in self.parts if part.status == status]

    @property
    def status(self) -> str:
        """ "failed" if a part failed, "missing" if the engine has no part of it, else "passed"."""
        return "failed" if self.of("failed") else "passed" if self.of("passed") else "missing"

    @property
    def points(self) -> float:
        """The points for the parts that are met."""
        return round(self.requirement.points * len(self.of("passed")) / len(self.parts), 2)

    def failures(self) -> Iterator[str]:
        """Each failure as lines of text; those with one cause and form only once."""
        seen: dict[tuple[str, str], PartResult] = {}
        also: dict[str, list[str]] = {}
        for part in self.of("failed"):
            key = (part.cause, part.got) if part.cause else (part.part, "")
            if key in seen:
                also[seen[key].part].append(part.part)
            else:
                seen[key], also[part.part] = part, []
        for part in seen.values():
            text = [f"{self.requirement.id}" + f", {part.part}" * bool(part.part)]
            text += [f"  {part.example}", f"    expected {part.expected}", f"    got      {part.got}"]
            text += [f"    likely cause: {part.cause}"] * bool(part.cause)
            text += [f"    the same in: {', '.join(also[part.part])}"] * bool(also[part.part])
            yield "\n".join(text)


class Report:
    """The results of an engine."""

    def __init__(self, engine: str, seed: int, results: Sequence[Result]) -> None:
        self.engine, self.seed, self.results = engine, seed, list(results)

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return all(result.status != "failed" for result in self.results)

    def points(self, level: str | None = None) -> tuple[float, int]:
        """Points reached and possible, of a level or in all."""
        chosen = [result for result in self.results if level in (None, result.requirement.level)]
        return round(sum(result.points for result in chosen), 2), sum(r.requirement.points for r in chosen)

    def as_dict(self) -> dict[str, Any]:
        """The report as data for JSON."""
        levels = [level for level in LEVELS if any(result.requirement.level == level for result in self.results)]
        return {
            "engine": self.engine,
            "seed": self.seed,
            "passed": self.passed,
            "points": dict(zip(("reached", "possible"), self.points())),
            "levels": {level: dict(zip(("reached", "possible"), self.points(level))) for level in levels},
            "requirements": [
                {
                    "id": result.requirement.id,
                    "why": result.requirement.why,
                    "lesson": result.requirement.link,
                    "status": result.status,
                    "points": result.points,
                    "possible": result.requirement.points,
                    "parts": [dataclasses.asdict(part) for part in result.parts],
                }
                for result in self.results
            ],
        }

    def __str__(self) -> str:
        text = [f"{self.engine}, seed {self.seed}"]
        for level in LEVELS:
            chosen = [result for result in self.results if result.requirement.level == level]
            if chosen:
                reached, possible = self.points(level)
                text.append(f"\n{level:43} passed  failed  missing  points {reached:g} of {possible}")
            for result in chosen:
                counts = [len(result.of(status)) for status in ("passed", "failed", "missing")]
                mark = {"failed": "FAILED", "missing": "missing"}.get(result.status, "ok")
                text.append(f"  {mark:8}{result.requirement.name:32}{counts[0]:7}{counts[1]:8}{counts[2]:9}")
        failed = [result for result in self.results if result.status == "failed"]
        for result in failed:
            text.append("")
            text += result.failures()
            text.append(f"    why: {result.requirement.why} See {result.requirement.link}")
        lacking = [
            f"{result.requirement.name}: {', '.join(dict.fromkeys(part.lacks for part in result.of('missing')))}"
            for result in self.results
            if result.of("missing")
        ]
        text += ["\nmissing, not counted as failures", *(f"  {line}" for line in lacking)] if lacking else []
        reached, possible = self.points()
        met = sum(result.status == "passed" for result in self.results)
        verdict = (
            f"FAILED: {len(failed)} of {len(self.results)} requirements" if failed else f"passed {met} requirements"
        )
        return "\n".join([*text, f"\n{verdict}, {reached:g} of {possible} points"])


def chosen_requirements(levels: Iterable[str] = ()) -> list[Requirement]:
    """The requirements of these levels; of all levels if there are none."""
    wanted = set(levels)
    return [requirement for requirement in REQUIREMENTS if not wanted or requirement.level in wanted]


def check_engine(engine: Engine, levels: Iterable[str] = (), seed: int = 0, effort: Effort = QUICK) -> Report:
    """Check an engine in this process. `python -m minigrad check --engine` uses a process of its own."""
    run: Callable[[Requirement], list[PartResult]] = lambda requirement: [
        search(requirement.check, engine, part, seed, effort) for part in requirement.parts
    ]
    return Report(engine.name, seed, [Result(each, run(each)) for each in chosen_requirements(levels)])
