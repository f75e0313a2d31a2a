"""Checks of any autograd engine: `python -m minigrad check --engine my_engine.py`, or `pytest --engine=my_engine.py`.

The engine is described by an adapter, `Engine`. The requirements are in `requirements`, by level, in the order in which
one builds an engine. Values are compared with the formulas of `minigrad.testing.formulas` in extended precision, and
gradients with finite differences of these formulas, so no other engine is needed.
"""

from .adapter import OPERATORS, Engine, method, methods, missing

__all__ = ["OPERATORS", "Engine", "method", "methods", "missing"]
