"""The recipes are the published ones, and a value that makes no sense is refused in the words of the command line."""

import json
import math
from dataclasses import replace

import pytest

from resnet_np.errors import InputError
from resnet_np.training import Config, preset

pytestmark = pytest.mark.nojit


def test_short_is_the_yardsticks_recipe():
    """../shared/peers/torch_train.py, step by step."""
    config = preset("short")
    total = config.total_steps(351)
    rate = config.learning_rates(total)
    warm = 10 * 351 // 4
    for t in (1, 2, warm - 1, warm, warm + 1, 2000, total):
        expected = 0.04 + 0.36 * t / warm if t < warm else 0.4 + (0.0004 - 0.4) * (t - warm) / (total - warm)
        assert rate(t) == pytest.approx(expected, rel=1e-12)
    assert (total, config.batch_size, config.momentum, config.nesterov) == (3510, 128, 0.9, True)
    assert (config.weight_decay, config.decay, config.augment, config.normaliser) == (5e-4, "weights", True, "channel")


def test_paper_is_the_papers_recipe():
    """He et al. 2015, section 4.2."""
    config = preset("paper")
    total = config.total_steps(351)
    rate = config.learning_rates(total)
    assert total == 64_000
    assert [rate(t) for t in (1, 32_000, 32_001, 48_000, 48_001, 64_000)] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    assert (config.batch_size, config.momentum, config.nesterov) == (128, 0.9, False)
    assert (config.weight_decay, config.decay, config.normaliser) == (1e-4, "all", "per-pixel")
    deep = preset("paper", model="resnet110").learning_rates(total)
    assert (deep(400), deep(401)) == pytest.approx((0.01, 0.1))


def test_fast_is_airbenchs_recipe():
    """../shared/peers/torch_airbench.py --muon: the loss is summed, so that its rates are ours divided by the batch size. Its head
    has weights of deviation 1 and logits / 256: in place of w / 256 we have w / 9, which a rate 9^2 / 256^2 times as high moves as
    far."""
    config = preset("fast")
    assert config.lr / config.batch_size == pytest.approx(0.67 * 9**2 / 256**2, rel=0.01)
    assert config.bias_rate * config.lr / config.batch_size == pytest.approx(0.053, rel=0.01)
    assert config.lr * config.weight_decay / config.batch_size == pytest.approx(2e-6, rel=0.01)
    assert (config.muon, config.momentum, config.nesterov, config.decay, config.lookahead) == (0.24, 0.85, True, "all", 0)
    assert (config.label_smoothing, config.shift, config.padding) == (0.2, 2, "reflect")
    assert (config.flip, config.views) == ("alternating", 6)
    rate = config.learning_rates(1000)
    assert [rate(t) / config.lr for t in (1, 500, 1000)] == pytest.approx([0.999, 0.5, 0])


def test_hour_is_fast_with_a_wider_net_for_longer():
    fast, hour = preset("fast"), preset("hour")
    assert hour == replace(fast, preset="hour", width=96, epochs=20, cutout=8)


@pytest.mark.parametrize("changes, words", [
    ({"epochs": 0}, "--epochs: got 0"), ({"batch_size": 1}, "--batch-size: got 1"), ({"lr": math.nan}, "--lr: got nan"),
    ({"lr": -1.0}, "--lr: got -1"), ({"lr": math.inf}, "--lr: got inf"), ({"momentum": 1.0}, "--momentum: got 1"),
    ({"weight_decay": -1e-4}, "--weight-decay"), ({"warmup": 1.0}, "--warmup"), ({"milestones": (0.5, 0.4)}, "--milestones"),
    ({"model": "resnet21"}, "resnet20 and resnet26"), ({"model": "vgg"}, "'vgg'"), ({"schedule": "triangle"}, "--schedule"),
    ({"seed": -1}, "--seed"), ({"momentum": 0.0}, "--no-nesterov"), ({"preset": "slow"}, "--preset: got slow"),
    ({"dropout": 1.0}, "--dropout: got 1.0"), ({"label_smoothing": -0.1}, "--label-smoothing: got -0.1"),
    ({"cutout": -1}, "--cutout: got -1"), ({"mixup": math.inf}, "--mixup: got inf"), ({"mixup": math.nan}, "--mixup: got nan"),
    ({"early_stopping": -1}, "--early-stopping: got -1"), ({"model": "plain20", "shortcut": "B"}, "plain20 has no such choice"),
    ({"stem": "imagenet"}, "--stem: got imagenet, expected it to be left out: resnet20 has no such choice"),
    ({"model": "resnet18", "zero_pad": "end"}, "resnet18 has no such choice"), ({"width": -1}, "--width: got -1"),
    ({"views": 2}, "--views: got 2, expected 1 or 6"), ({"bias_rate": 0.0}, "--bias-rate: got 0"),
    ({"shift": -1}, "--shift: got -1"), ({"lookahead": -1}, "--lookahead: got -1"), ({"model": "fast9"}, "fast8 and fast11"),
    ({"flip": "never"}, "--flip: got never"), ({"muon": -1.0}, "--muon: got -1"), ({"padding": "edge"}, "--padding: got edge"),
    ({"model": "fast8", "shortcut": "B"}, "fast8 has no such choice"),
    ({"start_scale": 0.0, "start_share": 0.5}, "--start-scale: got 0.0"), ({"start_scale": 1.5}, "--start-scale: got 1.5"),
    ({"start_scale": 0.5}, "--start-share: got 0.0, expected a number"),
    ({"start_share": -0.5}, "--start-share: got -0.5, expected a number above 0 and below 1"),
    ({"start_scale": 0.5, "start_share": 1.0}, "--start-share: got 1.0"),
    ({"precision": "fp16"}, "--precision: got fp16, expected one of float32, bf16"),
])
def test_nonsense_is_refused(changes, words):
    with pytest.raises(InputError) as refusal:
        Config(**changes)
    assert words in str(refusal.value) and "\n" not in str(refusal.value)


def test_survives_json():
    config = preset("paper", model="resnet56", milestones=(0.25, 0.5))
    assert Config.from_json(json.loads(json.dumps(config.to_json()))) == config
    with pytest.raises(InputError, match="unknown field colour"):
        Config.from_json(config.to_json() | {"colour": 1})
    with pytest.raises(InputError, match="config: --lr: got fast, expected a number"):
        Config.from_json(config.to_json() | {"lr": "fast"})


def test_unknown_preset():
    with pytest.raises(InputError, match="--preset: got slow, expected one of quick, short, paper"):
        preset("slow")
