"""Arrays in, arrays out: the arithmetic of every operation, without checks and without state.

A folder an operation; inside it, the same functions with the same signatures in

    loops.py   plain Python loops: slow, and the first thing to read; the oracle of the tests
    array.py   the derivation, then the same in array code
    jit.py     compiled by Numba: the CPU default
    cuda.py    with CuPy on an NVIDIA GPU: array code where that suffices, else kernels of our own, in cuda.cu
    bf16.py    jit.py's functions for maps in bf16, channels last, where an operation has maps (precision.py, bfloat.py)

and an `__init__.py` that calls the file which `resnet_np.backend` selects. Kernels trust their input: `functional/`
checks shapes and dtypes and passes C-contiguous arrays (maps in bf16: channels last). They never write into an argument, and the
result has the dtype of the input; of maps in bf16, what is no map is float32.

One folder is no operation: `answer/` does all those of a net that only answers. Its `answer` has the same signature in each file.
"""
