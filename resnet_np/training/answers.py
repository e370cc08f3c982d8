"""What a net says of every picture, one by one. N picture, K class."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from resnet_np import functional as F
from resnet_np.backend import to_host
from resnet_np.errors import InputError
from resnet_np.layers import Layer
from resnet_np.workspace import Workspace


@dataclass(frozen=True, eq=False)
class Answers:
    """probabilities (N, K), labels (N,): the true classes."""

    probabilities: np.ndarray
    labels: np.ndarray

    @property
    def chosen(self) -> np.ndarray:
        """(N,): the likeliest class of each picture."""
        return self.probabilities.argmax(1)

    @property
    def confidence(self) -> np.ndarray:
        """(N,): the probability of that class."""
        return self.probabilities.max(1)

    @property
    def confusion(self) -> np.ndarray:
        """(K, K) of counts: row true class, column answer."""
        K = self.probabilities.shape[1]
        return np.bincount(self.labels * K + self.chosen, minlength=K * K).reshape(K, K)

    def mistakes(self) -> np.ndarray:
        """The numbers of the pictures that were taken for another class, the most confident first; of equal ones the first."""
        wrong = np.flatnonzero(self.chosen != self.labels)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")]


def answers(net: Layer, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> Answers:
    """Run `net` in evaluation mode over batches of (x (N, 3, H, W), labels (N,)). Raises InputError if there is no picture."""
    probabilities, labels = [], []
    with Workspace():
        for x, true in batches:
            probabilities.append(to_host(F.softmax(net.forward(x, training=False))))
            labels.append(true)
    if not labels:
        raise InputError("answers: there are no pictures to answer for")
    return Answers(np.concatenate(probabilities), np.concatenate(labels))
