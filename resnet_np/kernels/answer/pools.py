"""The pools of a net that only answers, vector by vector of n channels."""

from resnet_np.kernels.answer.program import MEAN
from resnet_np.kernels.compile import inline
from resnet_np.kernels.simd import add, lanes, larger, load, positive, store


@inline
def max_pool(step, memory):
    """Padding is zeros, and comes only where no pixel is less."""
    n, relu = lanes(memory), step.relu > 0
    for block in range(step.channels // n):
        for oy in range(step.oh):
            for ox in range(step.ow):
                at = step.origin + block * step.plane + step.stride * (oy * step.row + ox * n)
                largest = load(memory, at)
                for i in range(step.kh):
                    for j in range(step.kw):
                        largest = larger(load(memory, at + i * step.row + j * n), largest)
                if relu:
                    largest = positive(largest)
                store(memory, step.to + block * step.to_plane + oy * step.to_row + ox * n, largest)


@inline
def global_pool(step, memory):
    n, pixels = lanes(memory), step.height * step.width
    for block in range(step.channels // n):
        at, to = step.origin + block * step.plane, step.to + block * n
        so_far = load(memory, at)
        for p in range(1, pixels):
            pixel = load(memory, at + p // step.width * step.row + p % step.width * n)
            so_far = add(so_far, pixel) if step.kind == MEAN else larger(pixel, so_far)
        store(memory, to, so_far)
        if step.kind == MEAN:
            for lane in range(n):
                memory[to + lane] /= pixels
