"""Is a gradient right? `gradcheck`, the self-test of `python -m minigrad check`, and checks of any engine."""

from .gradient_check import GradcheckError, gradcheck

__all__ = ["GradcheckError", "gradcheck"]
