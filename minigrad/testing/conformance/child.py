"""The process in which a foreign engine runs. It gets requests on stdin and replies on stdout, one JSON line each.

On start                                                   {"engine": name} or {"error": text}
{"requirement": id, "parts": [...], "seed": 0, ...}        {"part": name}, {"example": text}, ..., {"result": {...}},
                                                           for each part; then {"done": true}

What the engine itself prints goes to stderr.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from typing import Any

from . import op_check
from .loading import AdapterError, load_engine
from .mismatch import raised
from .requirements import REQUIREMENTS
from .search import QUICK, THOROUGH, PartResult, search

MEMORY = 4 * 2**30  # bytes that an engine may take beyond those after its import


def limit_memory() -> None:
    """Let allocations beyond the limit raise MemoryError, where the system can do that."""
    try:
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:
            used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    except (ImportError, OSError, ValueError):
        pass


def main() -> None:
    """Reply to requests until stdin is closed."""
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)

    def reply(**message: Any) -> None:
        print(json.dumps(message), file=replies, flush=True)

    try:
        engine = load_engine(sys.argv[1])
    except AdapterError as error:
        reply(error=str(error))
        return
    reply(engine=engine.name)
    limit_memory()
    op_check.listeners.append(lambda call: reply(example=str(call)))
    checks = {requirement.id: requirement.check for requirement in REQUIREMENTS}
    for line in requests:
        request = json.loads(line)
        for part in request["parts"]:
            reply(part=part)
            try:
                effort = THOROUGH if request["thorough"] else QUICK
                result = search(checks[request["requirement"]], engine, part, request["seed"], effort)
            except SystemExit as error:
                result = PartResult(
                    part, "failed", expected="no exit", got=raised(error), cause="the engine calls exit()"
                )
            reply(result=dataclasses.asdict(result))
        reply(done=True)


if __name__ == "__main__":
    main()
