"""Runs the checks of an engine in a process of its own, so that it may hang, crash, or eat memory."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess  # nosec B404 # for the call below
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .loading import AdapterError, split_path
from .requirements import Requirement
from .search import PartResult

START, QUICK, THOROUGH = 120.0, 20.0, 300.0  # seconds without a reply until the process counts as hanging


class EngineProcess:
    """An engine in a process of its own, which is started again when it hangs or crashes.

    `name` is that of the engine. Raises AdapterError where there is none.
    """

    def __init__(self, engine: str, seed: int = 0, thorough: bool = False, patience: float | None = None) -> None:
        split_path(engine)
        self.engine, self.seed, self.thorough = engine, seed, thorough
        self.patience = patience or (THOROUGH if thorough else QUICK)
        self.process: subprocess.Popen[str] | None = None
        self.replies: queue.Queue[str] = queue.Queue()
        self.name = ""
        self.start()

    def start(self) -> None:
        """Start the process and read the name of the engine."""
        root = Path(__file__).resolve().parents[3]
        checkout = [] if root.name in ("site-packages", "dist-packages") else [str(root)]
        path = os.pathsep.join([*checkout, *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(  # nosec B603 # no shell; this Python and this package
            [sys.executable, "-m", "minigrad.testing.conformance.child", self.engine],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )
        self.replies = queue.Queue()
        threading.Thread(target=read_lines, args=(self.process.stdout, self.replies), daemon=True).start()
        reply = self.reply(START)
        if isinstance(reply, str):
            self.close()
            raise AdapterError(f"--engine: the import of {self.engine} {reply}")
        if "error" in reply:
            self.close()
            raise AdapterError(reply["error"])
        self.name = reply["engine"]

    def reply(self, patience: float) -> dict[str, Any] | str:
        """The next reply, or what went wrong instead."""
        assert self.process is not None  # nosec B101 # for mypy
        try:
            line = self.replies.get(timeout=patience)
        except queue.Empty:
            return f"gives no result within {patience:g} s: it hangs, or is very slow"
        if line:
            return json.loads(line)
        code = self.process.wait()
        if code < 0:
            return f"crashes the interpreter: {signal.Signals(-code).name}"
        return f"ends the interpreter, with exit code {code}"

    def run(self, requirement: Requirement) -> list[PartResult]:
        """The results for the parts of a requirement."""
        results: list[PartResult] = []
        parts = list(requirement.parts)
        while len(results) < len(parts):
            if self.process is None:
                self.start()
            self.request(requirement.id, parts[len(results) :])
            failure = self.collect(results, parts)
            if failure:
                self.close()
                results.append(failure)
        return results

    def request(self, requirement: str, parts: Sequence[str]) -> None:
        """Send a request."""
        assert self.process is not None  # nosec B101 # for mypy
        assert self.process.stdin is not None  # nosec B101 # for mypy
        message = {"requirement": requirement, "parts": parts, "seed": self.seed, "thorough": self.thorough}
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # `reply` then finds the end of the process

    def collect(self, results: list[PartResult], parts: Sequence[str]) -> PartResult | None:
        """Append the results that arrive; returns that of the part in which they end too early."""
        example = ""
        while True:
            reply = self.reply(self.patience)
            if isinstance(reply, str):
                part, got = parts[len(results)], f"the engine {reply}"
                return PartResult(part, "failed", example=example or part or "this check", expected="a result", got=got)
            if "result" in reply:
                results.append(PartResult(**reply["result"]))
            elif "done" in reply:
                return None
            example = reply.get("example", "")

    def close(self) -> None:
        """End the process."""
        if self.process is None:
            return
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)  # with the processes that the engine started
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                with suppress(BrokenPipeError):
                    stream.close()
        self.process = None

    def __enter__(self) -> EngineProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read_lines(stream: Any, lines: queue.Queue[str]) -> None:
    """Put each line into the queue, and at the end an empty one."""
    try:
        for line in stream:
            lines.put(line)
    except ValueError:
        pass  # closed
    lines.put("")
