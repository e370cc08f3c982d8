"""Sixteen classic bugs, each as a text of our source and what a tired author would have written in its place."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A planted bug: in `file`, `old` becomes `new`; `checks` (beginnings of names of the table and the rules) are then run.

    Where it lies in a compiled kernel the checks are those few that run this kernel: every further one would compile its own.
    """

    bug: int  # its number among the sixteen
    title: str
    file: str
    old: str
    new: str
    backend: str
    checks: tuple[str, ...]


GRADIENTS = ("conv2d", "batchnorm", "relu", "add", "shortcut", "global", "max pool", "average pool", "linear", "dropout", "softmax",
             "Conv2d", "BatchNorm2d", "BasicBlock", "plain block")
FUSED = ("fused conv", "FusedSequential", "FusedBasicBlock")

MUTANTS = (
    Mutant(1, "col2im assigns where windows overlap", "kernels/conv/array.py",
           "j:j + stride * OW:stride] += columns[:, :, i, j]", "j:j + stride * OW:stride] = columns[:, :, i, j]",
           "numpy", GRADIENTS),
    Mutant(1, "the same in the tile kernel", "kernels/conv/tiles.py",
           "oy * stride + i, ox * stride + j] += columns[k, left + lane]",
           "oy * stride + i, ox * stride + j] = columns[k, left + lane]",
           "numba", ("conv2d 3x3, stride 2",)),
    Mutant(2, "a check with an upstream gradient of ones", "gradcheck/subjects.py",
           "dout = rng.standard_normal(np.shape(out)) if", "dout = np.ones(np.shape(out)) if", "numpy", GRADIENTS),
    Mutant(3, "mean and variance are constants in batch norm's backward pass", "kernels/batchnorm/array.py",
           "dx = dout - _column(dbeta / M) - x_hat * _column(dgamma / M)  # (5)", "dx = dout.copy()", "numpy", GRADIENTS),
    Mutant(3, "the variance alone, compiled", "kernels/batchnorm/jit.py",
           "coefficients[1, c] = moment * inv_std[c] * inv_std[c] / count", "coefficients[1, c] = 0",
           "numba", ("batchnorm",)),
    Mutant(3, "the variance alone, behind a fused ReLU", "kernels/batchnorm/jit.py",
           "shift <= 0 else dout[n, c, p]\n"
           "                    dx[n, c, p] = scale * d if frozen else scale * (d - mean_d - (x[n, c, p] - m) * slope)",
           "shift <= 0 else dout[n, c, p]\n                    dx[n, c, p] = scale * (d - mean_d)", "numba",
           ("fused conv bn relu",)),
    Mutant(3, "the fused pair takes its statistics for constants", "functional/fused_conv.py",
           "frozen = isinstance(norm, BatchNormFrozenCache)", "frozen = True", "numpy", FUSED),
    Mutant(4, "batch statistics over the images alone", "kernels/batchnorm/jit.py",
           "moments[1, n, c] = plane_moments(x[n, c])", "moments[1, n, c] = plane_moments(x[n, c, :1])",
           "numba", ("batch statistics",)),
    Mutant(5, "evaluation uses the statistics of the batch", "layers/basic.py",
           "if training and not self.frozen:", "if not self.frozen:", "numpy", ("evaluation", "running")),
    Mutant(5, "running statistics are never saved", "layers/basic.py",
           "mean[...], var[...] = F.update_running(", "_ = F.update_running(", "numpy", ("evaluation", "running")),
    Mutant(5, "the biased variance is saved", "functional/batchnorm.py",
           "unbiased = var * (count / (count - 1))", "unbiased = var", "numpy", ("evaluation", "running")),
    Mutant(6, "the other convention of momentum", "functional/batchnorm.py",
           "return (1 - momentum) * running_mean + momentum * mean, (1 - momentum) * running_var + momentum * unbiased",
           "return momentum * running_mean + (1 - momentum) * mean, momentum * running_var + (1 - momentum) * unbiased",
           "numpy", ("evaluation", "running")),
    Mutant(7, "ReLU's backward pass writes into dout", "kernels/elementwise/array.py",
           "return np.where(out <= 0, dout.dtype.type(0), dout)", "dout[out <= 0] = 0\n    return dout", "numpy", GRADIENTS),
    Mutant(8, "the shortcut's gradient is forgotten", "layers/block.py",
           "return F.add_forward(self.main.backward(d_main), self.shortcut.backward(d_shortcut))",
           "return self.main.backward(d_main)", "numpy", GRADIENTS),
    Mutant(8, "the gradient of the addition goes down the shortcut only", "layers/block.py",
           "return F.add_forward(self.main.backward(d_main), self.shortcut.backward(d_shortcut))",
           "self.main.backward(d_main)\n        return self.shortcut.backward(d_shortcut)", "numpy", GRADIENTS),
    Mutant(8, "the fused block forgets what arrives from the other branch", "layers/fused.py",
           "cast(np.ndarray, grads.dx), plus=d_shortcut)", "cast(np.ndarray, grads.dx))", "numpy", FUSED),
    Mutant(8, "the shortcut gets the gradient from before the fused ReLU", "functional/fused_conv.py",
           "return ConvNormGrads(dx, dw, dgamma, dbeta, dsum if adds else None)",
           "return ConvNormGrads(dx, dw, dgamma, dbeta, dout if adds else None)", "numpy", FUSED),
    Mutant(8, "the addition is lost where an image is finished in the cache", "kernels/conv/finish.py",
           "finish.affine, finish.same.shape[0] > 0, finish.same", "finish.affine, False, finish.same", "numba",
           ("FusedBasicBlock, identity",)),
    Mutant(9, "softmax without subtracting the largest logit", "kernels/softmax/array.py",
           "return logits - logits.max(axis=1, keepdims=True)", "return logits.copy()", "numpy", ("softmax",)),
    Mutant(9, "the same, compiled", "kernels/softmax/jit.py",
           "largest = max(largest, logits[n, k])", "largest = 0 * logits[n, k]", "numba", ("softmax",)),
    Mutant(10, "the gradient of cross-entropy is not divided by N", "kernels/softmax/jit.py",
           "dlogits[n, k] = (probabilities[n, k] - targets[n, k]) / images", "dlogits[n, k] = probabilities[n, k] - targets[n, k]",
           "numba", ("softmax",)),
    Mutant(10, "it is divided twice", "kernels/softmax/array.py",
           "dlogits /= len(targets)  # (4)", "dlogits /= len(targets) ** 2", "numpy", GRADIENTS),
    Mutant(11, "a true convolution: the filters are flipped, forward and backward", "functional/conv2d.py",
           'x, w = checks.arrays("conv2d", x=(x, "N C H W"), w=(w, "F C KH KW"))',
           'x, w = checks.arrays("conv2d", x=(x, "N C H W"), w=(w, "F C KH KW"))\n    w = checks.ready(w[:, :, ::-1, ::-1])',
           "numpy", ("convolution",)),
    Mutant(11, "the weight gradient has its axes swapped", "kernels/conv/array.py",
           "return dw.reshape(w_shape)", "return np.ascontiguousarray(dw.reshape(w_shape).swapaxes(2, 3)).reshape(w_shape)",
           "numpy", GRADIENTS),
    Mutant(11, "the axes of the filters are exchanged where rows are vectors, forward and backward", "kernels/conv/direct.py",
           "[i * stride * half + j % stride * half + j // stride for", "[j * stride * half + i % stride * half + i // stride for",
           "numba", ("convolution",)),
    Mutant(11, "the input gradient's columns are interleaved the wrong way round", "kernels/conv/direct.py",
           "a, b = load(edge[thread], source), load(edge[thread], edge.shape[2] + source)",
           "b, a = load(edge[thread], source), load(edge[thread], edge.shape[2] + source)", "numba",
           ("conv2d 3x3, stride 2, rows of vectors",)),
    Mutant(11, "a sum of Winograd's has the wrong sign, forward and backward", "kernels/conv/winograd_sums.py",
           "add_scaled(p, -P, odd_p), add_scaled(q, Q, odd_q), add_scaled(q, -Q, odd_q),\n            add_scaled(add_scaled(d5",
           "add_scaled(p, -P, odd_p), add_scaled(q, -Q, odd_q), add_scaled(q, Q, odd_q),\n            add_scaled(add_scaled(d5",
           "numba", ("convolution",)),
    Mutant(11, "Winograd's weight gradient takes a difference for a sum", "kernels/conv/winograd_sums.py",
           "p, odd_p, q, odd_q = add(s1, s2), subtract(s1, s2),", "p, odd_p, q, odd_q = subtract(s1, s2), subtract(s1, s2),",
           "numba", ("conv2d 3x3, Winograd",)),
    Mutant(11, "the filters are flipped on maps of 2x2, forward and backward", "kernels/conv/dense.py",
           "(row[:, None] - row + 1) * 3 + column[:, None] - column + 1",
           "(row - row[:, None] + 1) * 3 + column - column[:, None] + 1", "numba", ("convolution",)),
    Mutant(11, "the weight gradient of maps of 2x2 takes a tap for its neighbour", "kernels/conv/dense.py",
           "dw[f, c, taps[p, q]] +=", "dw[f, c, taps[q, p]] +=", "numba", ("conv2d 3x3, maps of 2x2",)),
    Mutant(12, "a window is lost for stride 2 and an odd size", "kernels/conv/array.py",
           "return (height + 2 * pad - kh) // stride + 1, (width + 2 * pad - kw) // stride + 1",
           "return (height + 2 * pad - kh + 1) // stride, (width + 2 * pad - kw + 1) // stride", "numpy", ("convolution",)),
    Mutant(13, "of a tie the last wins", "kernels/pooling/jit.py",
           "if value > best or (np.isnan(value)", "if value >= best or (np.isnan(value)", "numba", ("of equal pixels",)),
    Mutant(13, "the same in windows of 2x2", "kernels/pooling/jit.py",
           "wins = (not value <= best)", "wins = (not value < best)", "numba", ("of equal pixels",)),
    Mutant(13, "every maximum of a tie gets the gradient", "kernels/pooling/array.py",
           "    return out, winners\n\n\n"
           "def max_backward(dout: np.ndarray, winners: np.ndarray, *, x_shape: tuple[int, ...]) -> np.ndarray:\n",
           "    ties = [seen == out for _, seen in _places(padded, k, stride)]\n"
           "    max_backward.ties = ties, padded.shape, k, stride, pad\n"
           "    return out, winners\n\n\n"
           "def max_backward(dout: np.ndarray, winners: np.ndarray, *, x_shape: tuple[int, ...]) -> np.ndarray:\n"
           "    ties, shape, k, stride, pad = max_backward.ties\n"
           "    dx = np.zeros(shape, dout.dtype)\n"
           "    for won, (_, seen) in zip(ties, _places(dx, k, stride)):\n"
           "        seen += won * dout\n"
           "    return dx[:, :, pad:pad + x_shape[2], pad:pad + x_shape[3]].copy()\n", "numpy", ("of equal pixels",)),
    Mutant(13, "max pool pads with 0", "kernels/pooling/array.py", "constant_values=-np.inf)", "constant_values=0)",
           "numpy", ("padding",)),
    Mutant(14, "dropout is not rescaled", "functional/dropout.py", "mask /= x.dtype.type(1 - rate)", "pass", "numpy", ("dropout",)),
    Mutant(14, "dropout is left on in evaluation", "layers/basic.py", "if not training or self.frozen:", "if self.frozen:",
           "numpy", ("dropout",)),
    Mutant(15, "weight decay is applied twice", "kernels/sgd/array.py",
           "g = grad + weight_decay * w if weight_decay else grad", "g = grad + 2 * weight_decay * w", "numpy", ("weight decay",)),
    Mutant(15, "the same, compiled", "kernels/sgd/jit.py",
           "g = grad[i] + weight_decay * w[i]", "g = grad[i] + 2 * weight_decay * w[i]", "numba", ("weight decay",)),
    Mutant(15, "weight decay silently skips some parameters", "optim/sgd.py",
           'decays = self._decay == "all" or parameter.decay', "decays = parameter.decay", "numpy", ("weight decay",)),
    Mutant(15, "momentum is lost on resume", "optim/sgd.py", "velocity[...] = like(state[name], velocity)", "velocity[...] = 0",
           "numpy", ("momentum",)),
    Mutant(16, "a frozen batch norm still updates its statistics", "layers/basic.py",
           "if training and not self.frozen:", "if training:", "numpy", ("a frozen",)),
)
