"""Skips uninformative mutants: those that change only a type, an error message, or nothing that runs.

The words of an error matter, and tests check them; but a changed number inside a message is not a wrong result, and
such mutants would only dilute the score.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.config import ConfigDict
from cosmic_ray.work_db import WorkDB
from cosmic_ray.work_item import WorkerOutcome, WorkResult


def skip_uninformative(db: WorkDB, config: ConfigDict) -> None:
    """Skip the mutants of operators that the configuration excludes, and those that no test could kill."""
    excluded = re.compile("|".join(config.sub("filters", "operators-filter")["exclude-operators"]))
    messages, comparisons = cache(inert_spans), cache(negated_already)
    skipped: dict[str, list[str]] = {}
    for item in db.pending_work_items:
        mutation = item.mutations[0]
        path, operator, number = mutation.module_path, mutation.operator_name.split("/")[1], mutation.occurrence
        span = mutation.start_pos, mutation.end_pos
        if excluded.match(mutation.operator_name):
            reason = "operator"
        elif operator == "NumberReplacer" and number % 2:
            reason = "n - 1: n + 1 is run"
        elif operator == "NumberReplacer" and path.name in ("formulas.py", "selftest.py"):
            reason = "a choice of inputs"
        elif operator == "AddNot" and span in comparisons(path):
            reason = "duplicate"
        elif any(start <= span[0] and span[1] <= end for start, end in messages(path)):
            reason = "does not run"
        else:
            continue
        skipped.setdefault(reason, []).append(item.job_id)
    for reason, jobs in skipped.items():
        db.set_multiple_results(jobs, WorkResult(output=reason, worker_outcome=WorkerOutcome.SKIPPED))


Position = tuple[int, int]
Span = tuple[Position, Position]


def inert_spans(path: Path) -> list[Span]:
    """The spans of annotations, `if TYPE_CHECKING`, messages, and of the `*` in signatures."""
    spans = []
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.FunctionDef(returns=ast.AST() as part):
                spans.append(extent(part))
            case ast.arg(annotation=ast.AST() as part) | ast.AnnAssign(annotation=part):
                spans.append(extent(part))
            case ast.Raise() | ast.JoinedStr() | ast.If(test=ast.Name("TYPE_CHECKING")):
                spans.append(extent(node))
    leaves = ast_nodes(get_ast_from_path(path))
    stars = (n for n in leaves if n.type == "operator" and n.parent.type in ("parameters", "lambdef", "param"))
    return spans + [(star.start_pos, star.end_pos) for star in stars]


def negated_already(path: Path) -> set[Span]:
    """The spans of conditions that are one == or `is`: replacing it by its negation equals a `not` before it."""
    tests = (n.test for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, (ast.If, ast.IfExp, ast.While)))
    alone = (t for t in tests if isinstance(t, ast.Compare) and len(t.ops) == 1)
    return {extent(t) for t in alone if isinstance(t.ops[0], (ast.Eq, ast.NotEq, ast.Is, ast.IsNot))}


def extent(node: ast.AST) -> Span:
    """The start and the end of a node."""
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]
