"""Train a ResNet, with the loop written out: python tutorials/train_cifar10.py [--data shapes10] [--depth 20] [--epochs 4]

`resnet-np train` does the same, and saves, resumes, draws and diagnoses besides. Without CIFAR-10 and network, Shapes-10 is drawn.
"""

import argparse
import time

import data_tools
from resnet_np import functional as F
from resnet_np.data import Normaliser, TrainLoader, evaluation_batches, train_validation_split
from resnet_np.models import resnet_cifar
from resnet_np.optim import SGD, OneCycle
from resnet_np.training import evaluate
from resnet_np.workspace import Workspace


def main():
    parser = argparse.ArgumentParser(description="Train a ResNet, with the loop written out.")
    parser.add_argument("--data", help="cifar10, shapes10, or a path (default: CIFAR-10, where it can be had)")
    parser.add_argument("--depth", type=int, default=20, help="layers, 6n+2")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--max-steps", type=int, help="stop after this many")
    options = parser.parse_args()

    data = data_tools.find(options.data, say=print, progress=True)
    learned, held_back = train_validation_split(len(data.train_images))
    images, labels = data.train_images[learned], data.train_labels[learned]
    normaliser = Normaliser.measured(images)
    loader = TrainLoader(images, labels, normaliser, batch_size=64, seed=0)  # shuffled, cropped and mirrored at random

    net = resnet_cifar(options.depth, classes=len(data.classes))
    optimiser = SGD(net.named_parameters(), momentum=0.9, nesterov=True, weight_decay=5e-4, decay="weights")
    steps = options.max_steps or options.epochs * loader.steps_per_epoch
    lr = OneCycle(start=0.01, peak=0.1, final=0.0001, total=steps, warmup=steps // 4)
    workspace = Workspace()  # the memory of one step's arrays is used again by the next
    start = time.perf_counter()
    for t in range(1, steps + 1):
        for parameter in net.named_parameters().values():
            parameter.zero_grad()
        with workspace:
            x, y = loader.batch(t)
            logits = net.forward(x, training=True)
            loss, cache = F.softmax_cross_entropy_forward(logits, y)
            net.backward(F.softmax_cross_entropy_backward(cache))
            optimiser.step(lr(t))
        if t % 50 == 0 or t == steps:
            print(f"step {t} of {steps}   loss {loss:.3f}   {64 * t / (time.perf_counter() - start):.0f} images/s", flush=True)

    for name, pictures, answers in (("validation", data.train_images[held_back], data.train_labels[held_back]),
                                    ("test", data.test_images, data.test_labels)):
        batches = evaluation_batches(pictures, answers, normaliser, batch_size=250)
        result = evaluate(net, batches, classes=len(data.classes))
        print(f"{name} accuracy {100 * result.top1:.2f} %, loss {result.loss:.3f}, {data.name}")


if __name__ == "__main__":
    main()
