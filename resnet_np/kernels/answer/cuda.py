"""As array.py: each step is done by the kernels of the backend in use."""

from resnet_np.kernels.answer.array import answer

__all__ = ["answer"]
