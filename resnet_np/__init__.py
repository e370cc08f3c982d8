"""resnet_np: ResNets in pure NumPy, every gradient written by hand, kernels compiled by Numba.

Importing the package imports neither Numba nor matplotlib: the kernels are compiled when the first array reaches them.
"""

__version__ = "0.3.0.dev0"
