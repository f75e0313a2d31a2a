"""The real torchvision, also beside a CPU-only torch, where its import alone fails.

Such a torchvision lacks its compiled operators, and then stops at the schema of `torchvision::nms`. With the two
schemas defined first, its datasets work.
"""

import sys
from importlib.util import find_spec

import pytest

KEPT = []  # a library's definitions last as long as the library object


def import_torchvision():
    """The module torchvision; without torch or torchvision the test that asks is skipped."""
    if find_spec("torch") is None or find_spec("torchvision") is None:
        pytest.skip("torch and torchvision are not both installed: what is compared with them is skipped")
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
