"""Pictures unlike those that a net was trained on: what the caution beside a prediction rests on.

A softmax always answers. Of noise, and of the negative of a photo, it names a class too, often with 99 % (Nguyen et al. 2015, "Deep
neural networks are easily fooled"). Whether a picture resembles the training pictures must be asked apart, by three questions.

1. Is it noise?    roughness = rms difference of neighbouring pixels / standard deviation of all pixels, channels together
   Neighbours in a picture of something resemble each other (Ruderman and Bialek 1994, "Statistics of natural images"); on CIFAR-10
   the roughness is about 0.5, and below 0.95. Independent pixels of any distribution have sqrt(2). A plain colour has nothing to
   divide by: it is taken for infinitely rough. The net is not asked: one trained for four epochs found nothing odd about noise.
2. Is it far from all training pictures?    distance = mean of z^2,    z = (statistics - mean) / scale
   The statistics are mean and standard deviation over the pixels of every channel, behind the stem and behind every block; mean and
   scale are theirs over training pictures, so that z is about 0 +- 1 for those. This is the Mahalanobis distance (Lee et al. 2018,
   "A simple unified framework for detecting out-of-distribution samples") with a diagonal covariance.
3. Is it a negative?    evidence = w . (g(z) - g(z')),    g(z) = (z, z^2),    z' of the picture's own negative, 255 - x
   A negative has the edges, textures and contrasts of its photo, and so is near. But of the two one can say which is which, as one
   can of a jacket and the same jacket inside out. Ridge regression, which has a closed form, finds the w that brings the evidence
   of the training pictures near 1. The difference changes its sign with the picture: a negative has minus the evidence of its
   photo, and no intercept is wanted. To learn from pictures that were made strange is "outlier exposure" (Hendrycks et al. 2019).
   To ask about the difference, instead of about z alone, raised the share of negatives that are found from 73 % to over 90 %
   (ResNet-20, CIFAR-10).

Each answer has a limit that few *held-out* pictures exceed, which neither the net nor w was fitted to: of new pictures of the
same kind k / (n + 1) exceed the k-th most extreme of n, whatever their distribution (conformal prediction: Vovk et al. 2005,
"Algorithmic learning in a random world", chapter 2). So of pictures that are like the training pictures at most the sum of SHARES
is flagged, on average.

N picture, C channel, H W pixels, D statistics, M = 2 D weights.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from resnet_np.backend import namespace, to_device, to_host
from resnet_np.data import Normaliser, resize
from resnet_np.errors import CheckpointError, ResNetNpError
from resnet_np.layers import Layer
from resnet_np.models import ResNet
from resnet_np.models.resnet import POOLS
from resnet_np.workspace import Workspace

LEAST, LEAST_HELD_OUT = 200, 10  # pictures; fewer say too little about what is typical
MOST, MOST_HELD_OUT = 10_000, 5_000  # pictures that are looked at; 5,000 in place of 10,000 find two negatives of 100 fewer
LARGEST = 1 << 25  # numbers in the ridge regression's matrix, 128 MB; for nets with thousands of channels, fewer pictures
# Of pictures like the training pictures, what each question may flag: together less than 5 %, as public weights may have been
# trained on what is held out here, too.
SHARES = (0.001, 0.003, 0.033)
PENALTY = 0.5  # of the ridge regression, times M
CLIP = 3.0  # z beyond that is 3 in g, so that one strange channel does not outvote the others
_FLOOR = 0.01  # least scale, as a share of the mean scale: a channel that never stirred must not decide by its first tremble
_BATCH = 100  # pictures


class NothingTypical(ResNetNpError):
    """It cannot be said what training pictures have in common; why not, in part of a line."""


class Answers(NamedTuple):
    """To the three questions, each the higher the stranger; (N,) each."""

    roughness: np.ndarray
    distance: np.ndarray
    against: np.ndarray  # minus the evidence


def learn(
    net: ResNet,
    normaliser: Normaliser,
    images: np.ndarray,
    held_out: np.ndarray,
    *,
    image_size: int,
    seed: int,
    most: int = MOST,
) -> dict[str, np.ndarray]:
    """What is typical of the training pictures, as float32 arrays: mean, scale (D,), weights (M,), limits (3,).

    images      training pictures, uint8 (N, 3, H, W); at most `most` of them, chosen by `seed`, are looked at
    held_out    pictures of the same kind that the net was not trained on, and never the test set; at most 5,000 are looked at
    image_size  side to which all are resized, as they were in training
    Raises NothingTypical for fewer than 200 training pictures or ten held-out ones, for a net that is not finite, and for one to
    which all are the same.
    """
    for count, least, what in ((min(len(images), most), LEAST, "trained on"), (len(held_out), LEAST_HELD_OUT, "held out")):
        if count < least:
            raise NothingTypical(f"{count:,} pictures were {what}, at least {least} are needed")
    rng = np.random.default_rng(seed)
    M = 4 * sum(maps.shape[1] for maps in _maps(net, normaliser(to_device(resize(images[:1], image_size)))))
    count = max(LEAST, min(most, LARGEST // M))
    seen, negatives = _pairs(net, normaliser, images[np.sort(rng.permutation(len(images))[:count])], image_size)
    held = held_out[np.sort(rng.permutation(len(held_out))[: min(count, MOST_HELD_OUT)])]
    with np.errstate(all="ignore"):
        typical = {"mean": seen.mean(0, np.float64).astype(np.float32), "scale": seen.std(0, np.float64).astype(np.float32)}
    if not all(np.isfinite(array).all() for array in (seen, negatives, *typical.values())):
        raise NothingTypical("the net's maps hold numbers that are not finite")
    if not typical["scale"].any():
        raise NothingTypical("to the net all pictures are the same")
    typical["scale"] = np.maximum(typical["scale"], _FLOOR * typical["scale"].mean())
    typical["weights"] = _ridge(_difference(typical, seen, negatives))
    answers = _answers(net, normaliser, typical, held, image_size)
    typical["limits"] = np.array([_limit(scores, share) for scores, share in zip(answers, SHARES, strict=True)], np.float32)
    if not np.isfinite(typical["limits"][1:]).all():
        raise NothingTypical("of the held-out pictures the net's maps hold numbers that are not finite")
    return typical


class Novelty:
    """The detector of one net: `typical` is what `learn` returned for it, and not empty.

    Raises CheckpointError if `typical` is no such thing, here or, if it is another net's, when pictures are judged.
    """

    def __init__(self, net: ResNet, normaliser: Normaliser, typical: Mapping[str, np.ndarray]) -> None:
        self._net, self._normaliser, self._typical = net, normaliser, dict(typical)
        shapes = {name: array.shape for name, array in typical.items()}
        D = typical["mean"].size if "mean" in typical else 0
        if shapes != {"mean": (D,), "scale": (D,), "weights": (2 * D,), "limits": (3,)}:
            raise CheckpointError(f"what is typical of the training pictures has the shapes {shapes}, expected mean and scale of "
                                  "one number a statistic, weights of two, and three limits")
        if not all(np.isfinite(typical[name]).all() for name in ("mean", "scale", "weights")) or not (typical["scale"] > 0).all():
            raise CheckpointError("what is typical of the training pictures holds numbers that are not finite, or a scale of 0")

    def answers(self, images: np.ndarray) -> Answers:
        """uint8 (N, 3, S, S), of the size that the net sees -> roughness, distance and minus the evidence."""
        return _answers(self._net, self._normaliser, self._typical, images, images.shape[2])

    def is_unlike(self, images: np.ndarray) -> np.ndarray:
        """uint8 (N, 3, S, S), of the size that the net sees -> bool (N,): beyond one of the limits."""
        within = [scores <= limit for scores, limit in zip(self.answers(images), self._typical["limits"], strict=True)]
        return ~np.logical_and.reduce(within)  # so that what is no number is unlike


def statistics(net: ResNet, x: np.ndarray) -> np.ndarray:
    """x (N, 3, H, W), normalised -> (N, D): means of the stem's channels, their standard deviations, the first block's ..."""
    xp, found = namespace(x), []
    for maps in _maps(net, x):
        N, C, H, W = maps.shape
        pixels = maps.reshape(N, C, H * W)
        mean = pixels.mean(2)
        squares = xp.einsum("ncp,ncp->nc", pixels, pixels) / np.float32(H * W)  # no second copy of the maps
        found += [mean, xp.sqrt(xp.maximum(squares - mean**2, 0))]
    return to_host(xp.concatenate(found, axis=1))


def roughness(images: np.ndarray) -> np.ndarray:
    """uint8 (N, 3, H, W) -> (N,)."""
    pixels = images.astype(np.float32)
    variance = pixels.var((2, 3)).sum(1)
    squares = [np.square(np.diff(pixels, axis=axis)).mean((1, 2, 3)) for axis in (2, 3) if pixels.shape[axis] > 1]
    out = np.full(len(images), np.inf, np.float32)
    if squares:
        np.divide(3 * np.mean(squares, axis=0), variance, out=out, where=variance > 0)
    return np.sqrt(out)


def _maps(net: ResNet, x: np.ndarray) -> Iterator[np.ndarray]:
    """The maps behind the stem and behind every block, (N, C, H, W) each."""
    x = net.stem.forward(x, training=False)
    yield x
    for name, part in net.trunk.children.items():
        if name in POOLS:
            return
        is_stage = name.startswith("layer")
        layers: list[Layer] = list(part.children.values()) if is_stage else [part]
        for layer in layers:
            x = layer.forward(x, training=False)
            if is_stage:
                yield x


def _pairs(net: ResNet, normaliser: Normaliser, images: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The statistics of pictures and of their negatives, float32 (N, D) each."""
    seen, negatives = [], []
    batch_size = max(1, _BATCH * 32**2 // size**2)
    with Workspace(), np.errstate(all="ignore"):  # a net that overflows is somebody else's trouble
        for start in range(0, len(images), batch_size):
            batch = to_device(resize(images[start:start + batch_size], size))
            seen.append(statistics(net, normaliser(batch)))
            negatives.append(statistics(net, normaliser(255 - batch)))
    return np.concatenate(seen), np.concatenate(negatives)


def _answers(net: ResNet, normaliser: Normaliser, typical: Mapping[str, np.ndarray], images: np.ndarray, size: int) -> Answers:
    seen, negatives = _pairs(net, normaliser, images, size)
    if seen.shape[1:] != typical["mean"].shape:
        raise CheckpointError(f"what is typical of the training pictures is another net's: {typical['mean'].size} statistics, "
                              f"expected {seen.shape[1]}")
    with np.errstate(all="ignore"):
        z = (seen - typical["mean"]) / typical["scale"]
        against = -_difference(typical, seen, negatives) @ typical["weights"]
        return Answers(roughness(resize(images, size)), np.square(z, out=z).mean(1), against)


def _difference(typical: Mapping[str, np.ndarray], seen: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """g(z) - g(z'), float32 (N, M)."""
    z, other = (np.clip((found - typical["mean"]) / typical["scale"], -CLIP, CLIP) for found in (seen, negatives))
    return np.concatenate([z - other, z**2 - other**2], axis=1)


def _ridge(A: np.ndarray) -> np.ndarray:
    """The w that minimises |A w - 1|^2 + penalty |w|^2, for A (N, M) -> float32 (M,)."""
    N, M = A.shape
    penalty = PENALTY * M
    if M <= N:
        w = np.linalg.solve((A.T @ A).astype(np.float64) + penalty * np.eye(M), A.sum(0, dtype=np.float64))
    else:  # (A'A + p I)^-1 A' = A' (AA' + p I)^-1: an N x N system, for a wide net has more weights than there are pictures
        w = A.T @ np.linalg.solve((A @ A.T).astype(np.float64) + penalty * np.eye(N), np.ones(N))
    return w.astype(np.float32)


def _limit(scores: np.ndarray, share: float) -> float:
    """What at most `share` of new scores exceed, as far as (N,) held-out ones can tell."""
    k = int(share * (len(scores) + 1))
    if k:
        return float(np.sort(scores)[-k])
    # Even the most extreme of so few is exceeded more often. Of a normal distribution 0.1 % lie beyond three deviations.
    with np.errstate(invalid="ignore"):  # a plain colour is infinitely rough
        return float(max(scores.max(), scores.mean() + 3 * scores.std()))
