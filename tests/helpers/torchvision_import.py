"""Import torchvision, also beside a CPU-only torch, where a plain import fails.

There it lacks its compiled operators, so the import fails at the schema of `torchvision::nms`. If both schemas are
defined first, its datasets work.
"""

import sys
from importlib.util import find_spec

import pytest

KEPT = []  # definitions are removed with their library object


def import_torchvision():
    """The module torchvision; without torch or torchvision the calling test is skipped."""
    if find_spec("torch") is None or find_spec("torchvision") is None:
        pytest.skip("torch and torchvision are not both installed")
    import torch

    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        KEPT.append(library)
        import torchvision
    return torchvision
