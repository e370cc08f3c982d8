"""Medians, ratios and their spread, and who is compared with whom."""

import pytest

from resnet_np.bench.compare import Comparison, Side
from resnet_np.bench.task import Task

pytestmark = pytest.mark.nojit


def side(name, train, infer):
    return Side(name, "torch", seconds={"train": train, "infer": infer})


@pytest.fixture
def comparison():
    ours = side("ours", [[0.1, 0.1, 0.9], [0.2]], [[0.01], [0.01]])
    slow = side("NCHW", [[0.4], [0.4]], [[0.012], [0.012]])
    quick = side("channels_last", [[0.3, 0.3], [0.3, 0.3]], [[0.02], [0.02]])
    return Comparison(Task("resnet20", 128, 2), 40_000_000, ours, [slow, quick], [150.0, 200.0, 160.0], None)


def test_the_best_mode_of_each_work_counts(comparison):
    assert comparison.best("train").name == "channels_last" and comparison.best("infer").name == "NCHW"


def test_a_tuned_allocator_counts(comparison):
    """It is PyTorch's best mode where it is the quickest: whoever cares for speed would set it."""
    comparison.others.append(side("channels_last, malloc tuned", [[0.25], [0.25]], [[0.013], [0.013]]))
    assert comparison.best("train").name == "channels_last, malloc tuned" and comparison.best("infer").name == "NCHW"
    assert comparison.ratio("train") == pytest.approx(0.25 / 0.15)


def test_another_precision_counts_apart(comparison):
    """PyTorch's bf16 is not what float32 is compared with, but for the ratio to any mode."""
    comparison.others.append(Side("bf16", "torch", "bf16", seconds={"train": [[0.1], [0.1]], "infer": [[0.005], [0.005]]}))
    assert comparison.best("train").name == "channels_last" and comparison.best("train", any_precision=True).name == "bf16"
    assert comparison.ratio("train") == pytest.approx(0.3 / 0.15)
    assert comparison.ratio("train", any_precision=True) == pytest.approx(0.1 / 0.15)
    assert comparison.spread("infer", any_precision=True) == pytest.approx((0.5, 0.5))


def test_ratio_of_medians(comparison):
    assert comparison.ratio("train") == pytest.approx(0.3 / 0.15)
    assert comparison.ratio("infer") == pytest.approx(1.2)


def test_spread_is_the_rounds(comparison):
    assert comparison.spread("train") == pytest.approx((0.3 / 0.2, 0.3 / 0.1))


def test_the_ratio_lies_within_its_spread(comparison):
    """A round that noise slowed down has few steps; all the same it is a round."""
    comparison.ours.seconds["train"] = [[0.1], [0.9] * 9, [0.1]]
    comparison.others = [side("torch", [[0.1] * 9, [0.9], [0.1] * 9], [[0.01], [0.01], [0.01]])]
    assert comparison.ratio("train") == pytest.approx(1) and comparison.spread("train") == pytest.approx((1, 1))


def test_rates(comparison):
    assert comparison.images_per_second(comparison.ours, "train") == pytest.approx(128 / 0.15)
    assert comparison.gflops(comparison.ours, "train") == pytest.approx(128 / 0.15 * 0.24)  # 3 x 2 x 40 MMAC
    assert comparison.gflops(comparison.ours, "infer") == pytest.approx(128 / 0.01 * 0.08)
    assert comparison.ceiling == 160


def test_nothing_to_compare_with(comparison):
    comparison.others = []
    assert comparison.best("train") is comparison.ratio("train") is comparison.spread("train") is None
