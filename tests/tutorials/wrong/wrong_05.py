"""Typical wrong answers to notebook 5."""

from resnet_np.models.resnet_cifar import parameter_count


def exercise_05_1(C, F):
    return 9 * C * F + 9 * F * F  # without batch norm


def exercise_05_2(width):
    return width * 2 * width + 2 * width * 4 * width  # without batch norm


def exercise_05_3(net):
    net.trunk.children["fc"].weight.data[...] = 0  # the bias is still random
    return net


def exercise_05_4(budget):
    return max(depth for depth in range(8, 1203, 6) if parameter_count(depth) < budget)  # one that fits exactly is missed
