"""The fused operations in plain loops: nothing is fused."""

from resnet_np.kernels.batchnorm import loops as batchnorm
from resnet_np.kernels.conv import loops as conv
from resnet_np.kernels.elementwise import loops as elementwise
from resnet_np.kernels.fused.composed import Composed

_composed = Composed(conv, batchnorm, elementwise)
conv_statistics = _composed.conv_statistics
conv_normalise = _composed.conv_normalise
normalise = _composed.normalise
normalise_relu_backward = _composed.normalise_relu_backward
input_grad_plus = _composed.input_grad_plus
