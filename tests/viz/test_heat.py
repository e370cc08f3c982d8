import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.viz.heat import heat_maps, overlaid
from resnet_np.viz.style import save

pytestmark = pytest.mark.nojit


def test_hot_is_bright_and_cold_shows_the_picture():
    image = np.zeros((1, 3, 3))
    image[0, 2] = 1
    heat = np.array([[0, 5, 0]])
    found = overlaid(image, heat)
    assert found.shape == (1, 3, 3) and 0 <= found.min() and found.max() <= 1
    black, hot, white = found[0].sum(1)
    assert hot > white > black
    np.testing.assert_allclose(white - black, 3 * 0.35)  # the picture's share, in grey
    np.testing.assert_array_equal(overlaid(image, heat * 7), found)  # scaled by its own largest
    np.testing.assert_array_equal(overlaid(image, np.zeros((1, 3)))[0, 1], found[0, 0])  # nothing speaks for the class


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("N, M", [(1, 1), (1, 3), (4, 1), (6, 2)])
def test_pictures_above_their_maps(N, M, rng, tmp_path):
    pictures = rng.integers(0, 256, (N, 3, 8, 8), dtype=np.uint8)
    heats = rng.random((N, M, 8, 8))
    for array in (pictures, heats):
        array.setflags(write=False)
    figure = heat_maps(pictures, heats, [rf"$\q$ {n}" for n in range(N)], [[f"m{m}{n}" for n in range(N)] for m in range(M)])
    *shown, bar = figure.axes
    assert [axes.get_title() for axes in shown] == [
        *(rf"$\q$ {n}" for n in range(N)), *(f"m{m}{n}" for m in range(M) for n in range(N))]
    np.testing.assert_array_equal(shown[N - 1].images[0].get_array(), pictures[-1].transpose(1, 2, 0) / 255)
    np.testing.assert_array_equal(shown[-1].images[0].get_array(), overlaid(pictures[-1].transpose(1, 2, 0) / 255, heats[-1, -1]))
    assert bar.get_ylabel() == "heat, % of its largest"
    save(figure, tmp_path / "heat.png")


@pytest.mark.parametrize("pictures, heats, titles, captions", [
    ((2, 3, 8, 8), (2, 8, 8), "ab", ["ab"]),
    ((2, 3, 8, 8), (2, 1, 4, 4), "ab", ["ab"]),
    ((2, 3, 8, 8), (2, 1, 8, 8), "a", ["ab"]),
    ((2, 3, 8, 8), (2, 1, 8, 8), "ab", ["a"]),
    ((0, 3, 8, 8), (0, 1, 8, 8), "", [""]),
    ((2, 3, 8, 8), (2, 0, 8, 8), "ab", []),
])
def test_wrong_arguments(pictures, heats, titles, captions):
    with pytest.raises(InputError, match="heat_maps: expected pictures"):
        heat_maps(np.zeros(pictures, np.uint8), np.zeros(heats), titles, captions)
