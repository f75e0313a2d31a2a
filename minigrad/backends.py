"""torch.backends: what a program reads or sets before it chooses a device. minigrad has no MPS; cuDNN plays no part."""

from types import SimpleNamespace

mps = SimpleNamespace(is_available=lambda: False, is_built=lambda: False)
cudnn = SimpleNamespace(deterministic=True, benchmark=False, enabled=False, is_available=lambda: False)
