"""torch's `utils`: only `utils.data`."""

from typing import TYPE_CHECKING, Any

from ..left_out import left_out
from . import data

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        raise left_out("torch.utils", name)
