"""Solutions of notebook 11, Depth and width."""

from resnet_np import backend
from resnet_np.models import resnet_cifar
from resnet_np.models.summary import summarise


def exercise_11_1(depth):
    # Without the first convolution and the linear layer, three stages of blocks with two convolutions each are left.
    return (depth - 2) // 6


def exercise_11_2(times):
    # A convolution has F*C*KH*KW weights; F and C both grow `times` fold, KH and KW stay.
    return times**2


def exercise_11_3(width, budget):
    # The cost grows with the depth, so go on until the next step would be too much.
    depth = 8
    with backend.using("numpy"):
        while summarise(resnet_cifar(depth + 6, width=width), (1, 3, 32, 32)).macs / 1e6 <= budget:
            depth += 6
    return depth


def exercise_11_4(costs, accuracies):
    # From the cheapest on, a net is worth a thought only if it is better than all cheaper ones.
    found, best = [], -1.0
    for place in sorted(range(len(costs)), key=lambda i: costs[i]):
        if accuracies[place] > best:
            found.append(place)
            best = accuracies[place]
    return sorted(found)
