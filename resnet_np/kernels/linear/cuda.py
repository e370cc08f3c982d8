"""The fully connected layer on the device: the array code of array.py as it is; the products are cuBLAS's."""

from resnet_np.kernels.linear.array import backward, forward

__all__ = ["backward", "forward"]
