"""PyTorch modules. The only place, with its neighbours in this folder, that imports torch."""

from aimet_hooks.adapters.pytorch.adapter import TorchAdapter

__all__ = ["TorchAdapter"]
