"""Start atheris, for both fuzzers."""

from __future__ import annotations

import os
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris

MEMORY = "/dev/shm"  # in memory, if this folder exists
# keep_seed: the coverage does not include safetensors, so a seed can be useful without new coverage.
OPTIONS = {"-timeout": 10, "-rss_limit_mb": 600, "-max_len": 1 << 16, "-keep_seed": 1}


def fuzz(target: Callable[[bytes, str], Any], mutate: Callable[[bytes, int, int], bytes], seeds: str) -> None:
    """Fuzz `target` until it fails or time is up, beginning with seeds/<seeds>; sys.argv holds libFuzzer's options."""
    options = [option for option in sys.argv[1:] if option.startswith("-")]
    folders = [folder for folder in sys.argv[1:] if not folder.startswith("-")]
    limits = [f"{name}={value}" for name, value in OPTIONS.items() if not any(o.startswith(name) for o in options)]
    where = MEMORY if os.path.isdir(MEMORY) else None
    with tempfile.TemporaryDirectory(dir=where) as folder, tempfile.TemporaryDirectory() as fresh:
        if "-merge=1" not in options:
            folders = [*(folders or [fresh]), str(Path(__file__).parent / "seeds" / seeds)]
        atheris.Setup(
            [sys.argv[0], *limits, *options, *folders],
            lambda data: target(data, folder),
            custom_mutator=mutate,
        )
        tracemalloc.start()
        atheris.Fuzz()
