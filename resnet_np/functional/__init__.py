"""The mathematics, as pairs of functions: `op_forward(...) -> (out, cache)`, `op_backward(dout, cache) -> gradients`.

A pair checks its arguments (InputError says what came, what was expected), passes C-contiguous arrays to the kernels of
the backend in use, and names what it keeps. It holds no state and writes into no argument. float32 in, float32 out;
float64 in, float64 out.
`resnet_np.gradcheck` compares any of it with finite differences.
"""

from resnet_np.functional.add import add_backward, add_forward
from resnet_np.functional.batchnorm import (
    BatchNormCache,
    BatchNormFrozenCache,
    BatchNormGrads,
    batchnorm_backward,
    batchnorm_forward,
    batchnorm_frozen_backward,
    batchnorm_frozen_forward,
    update_running,
)
from resnet_np.functional.bias import BiasCache, BiasGrads, bias_backward, bias_forward
from resnet_np.functional.conv2d import ConvCache, ConvGrads, conv2d_backward, conv2d_forward
from resnet_np.functional.dropout import DropoutCache, dropout_backward, dropout_forward
from resnet_np.functional.fused_conv import (
    ConvNormCache,
    ConvNormGrads,
    conv_batchnorm_backward,
    conv_batchnorm_forward,
    conv_batchnorm_frozen_forward,
)
from resnet_np.functional.linear import LinearCache, LinearGrads, linear_backward, linear_forward
from resnet_np.functional.pooling import (
    AveragePoolCache,
    GlobalMaxPoolCache,
    MaxPoolCache,
    PoolCache,
    average_pool_backward,
    average_pool_forward,
    global_average_pool_backward,
    global_average_pool_forward,
    global_max_pool_backward,
    global_max_pool_forward,
    max_pool_backward,
    max_pool_forward,
)
from resnet_np.functional.relu import ReLUCache, relu_backward, relu_forward
from resnet_np.functional.rounding import round_backward, round_forward
from resnet_np.functional.scale import ScaleCache, scale_backward, scale_forward
from resnet_np.functional.shortcut import ShortcutCache, shortcut_backward, shortcut_forward
from resnet_np.functional.softmax import (
    CrossEntropyCache,
    softmax,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
)

__all__ = [
    "AveragePoolCache", "BatchNormCache", "BatchNormFrozenCache", "BatchNormGrads", "BiasCache", "BiasGrads", "ConvCache",
    "ConvGrads", "ConvNormCache", "ConvNormGrads", "CrossEntropyCache", "DropoutCache", "GlobalMaxPoolCache", "LinearCache",
    "LinearGrads", "MaxPoolCache", "PoolCache", "ReLUCache", "ScaleCache", "ShortcutCache",
    "add_backward", "add_forward",
    "average_pool_backward", "average_pool_forward",
    "batchnorm_backward", "batchnorm_forward", "batchnorm_frozen_backward", "batchnorm_frozen_forward", "update_running",
    "bias_backward", "bias_forward",
    "conv2d_backward", "conv2d_forward",
    "conv_batchnorm_backward", "conv_batchnorm_forward", "conv_batchnorm_frozen_forward",
    "dropout_backward", "dropout_forward",
    "global_average_pool_backward", "global_average_pool_forward",
    "global_max_pool_backward", "global_max_pool_forward",
    "linear_backward", "linear_forward",
    "max_pool_backward", "max_pool_forward",
    "relu_backward", "relu_forward",
    "round_backward", "round_forward",
    "scale_backward", "scale_forward",
    "shortcut_backward", "shortcut_forward",
    "softmax", "softmax_cross_entropy_backward", "softmax_cross_entropy_forward",
]
