"""Finds the adapter in a file."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType

from .adapter import Engine
from .mismatch import raised


class AdapterError(Exception):
    """There is no adapter to check; the message is one line."""


def split_path(engine: str) -> tuple[Path, str]:
    """The file and the class of "my_engine.py" or "my_engine.py:MyEngine"."""
    path, _, name = engine.partition(".py:")
    file = Path(path + ".py" * bool(name))
    if not file.is_file():
        raise AdapterError(f"--engine: expected a Python file, got {file}, which does not exist")
    return file, name


def import_file(file: Path) -> ModuleType:
    """The module in a file; files beside it can be imported."""
    sys.path.insert(0, str(file.resolve().parent))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise AdapterError(f"--engine: expected a Python file, got {file}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise AdapterError(f"--engine: {file} cannot be imported: {raised(error)}") from error
    return module


def load_engine(engine: str) -> Engine:
    """The adapter in a file: the only class derived from Engine, or the one that is named."""
    file, name = split_path(engine)
    module = import_file(file)
    found = {
        key: value
        for key, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, Engine) and value.__module__ == module.__name__
    }
    if not found:
        raise AdapterError(f"--engine: {file} has no adapter; derive a class from minigrad.testing.conformance.Engine")
    if name and name not in found:
        raise AdapterError(f"--engine: {file} has no adapter {name}; it has {', '.join(found)}")
    if not name and len(found) > 1:
        raise AdapterError(f"--engine: {file} has several adapters; use {file}:{next(iter(found))}, or another of them")
    chosen = found[name] if name else next(iter(found.values()))
    try:
        adapter = chosen()
    except Exception as error:
        raise AdapterError(f"--engine: {chosen.__name__}() of {file} failed: {raised(error)}") from error
    adapter.name = adapter.name or chosen.__name__
    return adapter
