"""Is a gradient right? `gradcheck`, and the self-test of `python -m minigrad check`."""

from .gradient_check import GradcheckError, gradcheck

__all__ = ["GradcheckError", "gradcheck"]
