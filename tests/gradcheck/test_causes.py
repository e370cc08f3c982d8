"""A wrong gradient is given the name of what it looks like, and a strange one none."""

import numpy as np
import pytest

from resnet_np.gradcheck import assigned, factors, is_forward, is_gradient
from resnet_np.gradcheck.causes import likely_cause

pytestmark = pytest.mark.nojit


@pytest.fixture
def right(rng):
    return rng.standard_normal((4, 3, 2, 3))


@pytest.mark.parametrize(("wrong", "words"), [
    (lambda g: -g, "wrong sign"),
    (lambda g: 2 * g, "counted twice"),
    (lambda g: 0 * g, "never computed"),
    (lambda g: 1.37 * g, "1.37 times the right value, everywhere"),
    (lambda g: np.where(g > 1, np.nan, g), "NaN or infinity in the backward pass"),
    (lambda g: g[:, :, ::-1, ::-1], "turned by 180 degrees"),
    (lambda g: g.swapaxes(0, 1).reshape(g.shape), "transposed: axes 0 and 1 are exchanged"),
    (lambda g: np.where(np.arange(3) == 1, 0, g), "some entries are missing"),
])
def test_what_a_wrong_gradient_looks_like(right, wrong, words):
    assert words in likely_cause(np.array(wrong(right)), right)


def test_no_cause_is_made_up(right, rng):
    for size in (5e-5, 5e-6):
        assert likely_cause(right + size * rng.standard_normal(right.shape), right) == ""
    assert likely_cause(right + rng.standard_normal(right.shape), right) == ""
    assert likely_cause(np.where(np.arange(3) == 1, right + 1, right), right) == ""


def test_nan_in_the_forward_pass(right):
    assert likely_cause(right, right * np.nan) == "NaN or infinity in the forward pass"


def test_suspects_come_before_general_causes(right):
    suspects = [is_gradient("the flag was forgotten", -right), is_forward("the other function", right**2)]
    assert likely_cause(-right, right, suspects) == "the flag was forgotten"
    assert likely_cause(right, right**2, suspects) == "the other function"


def test_factors(right):
    suspects = factors({"the batch size": 4, "the pixels": 6, "one": 1})
    assert likely_cause(4 * right, right, suspects) == "4 times too large: not divided by the batch size"
    assert likely_cause(right / 6, right, suspects) == "6 times too small: divided by the pixels once too often"


def test_assigned_where_windows_overlap(right):
    windows = np.broadcast_to(np.array([1, 2, 1]), right.shape)
    suspects = [assigned(windows)]
    assert "assigned instead of added" in likely_cause(np.where(windows > 1, right * 0.3 + 1, right), right, suspects)
    assert likely_cause(right * 0.3 + 1, right, suspects) == ""
    assert likely_cause(np.where(windows == 1, right * 0.3 + 1, right), right, suspects) == ""


def test_directions_show_factors_and_signs(rng):
    products = rng.standard_normal(3)
    assert likely_cause(-products, products) == "wrong sign"
    assert "0.5 times" in likely_cause(products / 2, products)
