import dataclasses

import matplotlib.image
import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.viz.prediction import Shown, prediction, shortened, write

pytestmark = pytest.mark.nojit


@pytest.fixture
def photo(rng):
    pixels = rng.integers(0, 256, (3, 8, 8), dtype=np.uint8)
    pixels.setflags(write=False)
    return Shown("holiday.jpg", rng.integers(0, 256, (60, 90, 3), dtype=np.uint8), pixels, [("cat", 0.75), ("dog", 0.2)], False)


def test_a_row_is_a_photo_what_was_seen_and_the_classes(photo):
    left, middle, right = prediction([photo]).axes
    assert left.get_title("left") == "holiday.jpg" and middle.get_title("left") == "seen as 8 x 8"
    np.testing.assert_array_equal(left.images[0].get_array(), photo.photo)
    np.testing.assert_allclose(middle.images[0].get_array(), photo.pixels.transpose(1, 2, 0) / 255)
    assert middle.images[0].get_interpolation() == "nearest"  # each pixel a square: blurred ones would hide what the net sees
    assert [bar.get_width() for bar in right.patches] == pytest.approx([75, 20])
    assert [text.get_text() for text in right.texts] == ["75.0 %", "20.0 %"]
    assert [label.get_text() for label in right.get_yticklabels()] == ["cat", "dog"]
    assert right.yaxis_inverted() and not right.get_title("left")  # the likeliest on top


@pytest.mark.parametrize("unlike, words", [(True, "caution: unlike the training pictures"), (False, ""), (None, "")])
def test_the_caution(photo, unlike, words):
    assert prediction([dataclasses.replace(photo, unlike=unlike)]).axes[2].get_title("left") == words


def test_many_photos_and_many_classes(photo):
    many = dataclasses.replace(photo, top=[(f"class {k}", 0.001) for k in range(1000)])
    figure = prediction([many] * 25)
    assert len(figure.axes) == 3 * 20 and figure.get_suptitle() == "the first 20 of 25 photos"
    assert len(figure.axes[2].patches) == 10
    assert max(figure.get_size_inches()) < 70


@pytest.mark.filterwarnings("error")
def test_nothing_overlaps_and_nothing_is_cut_off(photo, tmp_path):
    name = "Staffordshire bullterrier, Staffordshire bull terrier"
    rows = [dataclasses.replace(photo, name="IMG_2034 in the mountains of Switzerland.jpeg", top=[(name, 1.0)]),
            dataclasses.replace(photo, photo=np.zeros((1, 1, 3), np.uint8), name="猫 $x$.jpg", top=[("飞机" * 20, 0.0)])]
    write(rows, tmp_path / "out.png")
    assert matplotlib.image.imread(tmp_path / "out.png").shape[1] == 1380
    figure = prediction([rows[0]])
    figure.draw_without_rendering()
    left, middle, right = figure.axes
    boxes = [left._left_title.get_window_extent(), middle._left_title.get_window_extent(),
             right.get_yticklabels()[0].get_window_extent(), right.texts[0].get_window_extent()]
    assert boxes[0].x0 >= 0 and boxes[-1].x1 <= figure.bbox.x1
    for one, next_one in zip(boxes, boxes[1:], strict=False):
        assert one.x1 <= next_one.x0


def test_shortened_names():
    assert shortened("a" * 30, 30) == "a" * 30
    assert shortened("a" * 20 + "b" * 20, 30) == "a" * 19 + "…" + "b" * 9
    assert shortened("飞" * 15, 30) == "飞" * 15 and shortened("飞" * 16, 30) == "飞" * 9 + "…" + "飞" * 4
    assert shortened("a\x1b[31m\nb", 30) == "a [31m b"


def test_no_photo():
    with pytest.raises(InputError, match="no photo to draw"):
        prediction([])
