"""Solutions of notebook 8, Fine-tuning."""

import numpy as np

from resnet_np.data import resize
from resnet_np.models.transfer import freeze


def exercise_08_1(net, count):
    # A stage is a list of names, because the stem has several layers; freeze wants them in one list.
    freeze(net, [name for stage in net.stages[:count] for name in stage])
    return sum(parameter.data.size for parameter in net.named_parameters().values() if not parameter.frozen)


def exercise_08_2(net, share, head):
    # Counted from the head: the last stage has share**0, so the exponent is the distance from the last stage.
    last = len(net.stages) - 1
    rates = {name: share ** (last - i) for i, stage in enumerate(net.stages) for name in stage} | {"fc": head}
    return {name: rates[name.split(".")[0]] for name in net.named_parameters()}


def exercise_08_3(logits):
    # exp(z - m) / sum exp(z - m) is the same for every m, since exp(-m) cancels; with the largest z as m nothing overflows.
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def exercise_08_4(pictures, checkpoint):
    # The net has only ever seen pictures of this size, normalised with these numbers: others mean nothing to it.
    return checkpoint.normaliser(resize(pictures, checkpoint.image_size))
