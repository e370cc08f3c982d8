"""What is done to a convolution's outputs before they are stored."""

from resnet_np.kernels.compile import inline
from resnet_np.kernels.simd import add, load, positive


@inline
def finished(vector, bias, memory, same, adds, relu):
    """The vector of n filters of one pixel, + bias, + what is at memory[same] if it `adds`, then ReLU if that is wanted."""
    vector = add(vector, bias)
    if adds:
        vector = add(vector, load(memory, same))
    if relu:
        vector = positive(vector)
    return vector
