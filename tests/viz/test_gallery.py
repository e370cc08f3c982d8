import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.viz.gallery import gallery

pytestmark = pytest.mark.nojit


def test_a_picture_an_axes(rng):
    pictures = rng.integers(0, 256, (5, 3, 4, 4), np.uint8)
    figure = gallery(pictures, list("abcde"), title="Five", columns=3)
    assert len(figure.axes) == 6
    for axes, picture, name in zip(figure.axes, pictures, "abcde", strict=False):
        assert np.array_equal(axes.images[0].get_array(), picture.transpose(1, 2, 0) / 255)
        assert axes.get_xlabel() == name
    assert not figure.axes[5].axison
    assert figure.get_suptitle() == "Five"


def test_no_picture_or_too_few_names():
    for count, names in ((0, []), (2, ["a"])):
        with pytest.raises(InputError, match="gallery: expected pictures"):
            gallery(np.zeros((count, 3, 4, 4), np.uint8), names)
