import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.viz.pictures import channels, contact_sheet, signed_maps

pytestmark = pytest.mark.nojit


def test_contact_sheet_has_a_row_a_class(rng, tmp_path):
    images = rng.integers(0, 256, (7, 3, 4, 4), np.uint8)
    figure = contact_sheet(images, np.array([1, 0, 1, 1, 1, 2, 1]), ("a", "b", "c", "none"), columns=3)
    rows = np.array(figure.axes).reshape(4, 3)
    assert [row[0].get_ylabel() for row in rows] == ["0  a", "1  b", "2  c", "3  none"]
    assert [[len(axes.get_images()) for axes in row] for row in rows] == [[1, 0, 0], [1, 1, 1], [1, 0, 0], [0, 0, 0]]
    np.testing.assert_array_equal(np.rint(rows[1, 2].get_images()[0].get_array() * 255), images[3].transpose(1, 2, 0))
    figure.savefig(tmp_path / "sheet.png")


def test_channels_shows_the_numbers_of_the_square(rng, tmp_path):
    picture = rng.integers(0, 256, (3, 9, 8), np.uint8)
    figure = channels(picture, top=2, left=3, size=4)
    for c, axes in enumerate(figure.axes[5:8]):
        shown = [int(text.get_text()) for text in axes.texts]
        assert shown == picture[c, 2:6, 3:7].ravel().tolist()
        assert [text.get_text() for text in axes.get_xticklabels()] == ["3", "4", "5", "6"]
        assert [text.get_text() for text in axes.get_yticklabels()] == ["2", "3", "4", "5"]
    assert [axes.get_title() for axes in figure.axes[1:4]] == ["channel 0: red", "channel 1: green", "channel 2: blue"]
    figure.savefig(tmp_path / "channels.png")


@pytest.mark.parametrize("count", [1, 3, 7])
def test_signed_maps_share_a_scale_around_zero(rng, tmp_path, count):
    maps = rng.standard_normal((count, 5, 6))
    figure = signed_maps(maps, [f"map {f}" for f in range(count)], picture=np.zeros((3, 6, 6), np.uint8))
    drawn = [axes for axes in figure.axes if axes.get_title().startswith("map")]
    assert [axes.get_title() for axes in drawn] == [f"map {f}" for f in range(count)]
    for axes, values in zip(drawn, maps, strict=True):
        image, = axes.get_images()
        np.testing.assert_array_equal(image.get_array(), values)
        assert image.get_clim() == (-np.abs(maps).max(), np.abs(maps).max())
    figure.savefig(tmp_path / "maps.png")


def test_what_does_not_fit(rng):
    images = np.zeros((2, 3, 4, 4), np.uint8)
    with pytest.raises(InputError, match=r"contact_sheet: .* \(2, 3, 4, 4\), \(3,\) and 1 names"):
        contact_sheet(images, np.zeros(3, int), ("a",))
    with pytest.raises(InputError, match="channels: .* holds 7 x 7 pixels"):
        channels(images[0], top=0, left=0)
    with pytest.raises(InputError, match=r"signed_maps: .* \(2, 4, 4\) and 1"):
        signed_maps(np.zeros((2, 4, 4)), ["one"])
