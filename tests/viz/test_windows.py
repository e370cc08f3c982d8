import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.kernels.conv.array import im2col
from resnet_np.viz.windows import windows

pytestmark = pytest.mark.nojit

X = np.arange(1.0, 26).reshape(5, 5)


def written(axes):
    return [float(text.get_text()) for text in axes.texts]


@pytest.mark.parametrize(("kernel", "stride", "pad", "count"), [(3, 1, 0, 9), (3, 2, 1, 9), (2, 1, 0, 16), (5, 1, 0, 1)])
def test_a_window_has_the_colour_of_its_column(tmp_path, kernel, stride, pad, count):
    figure = windows(X, kernel, stride=stride, pad=pad)
    *small, matrix = figure.axes
    assert [axes.get_title() for axes in small] == [f"window {p}" for p in range(count)]
    columns = im2col(X[None, None], kernel, kernel, stride=stride, pad=pad)[0]
    assert written(matrix) == columns.ravel().tolist()
    paint = matrix.get_images()[0].get_array()
    OW = int(count**0.5)
    for p, axes in enumerate(small):
        assert written(axes) == np.pad(X, pad).ravel().tolist()
        h, w = p // OW * stride, p % OW * stride
        inside = axes.get_images()[0].get_array()[h:h + kernel, w:w + kernel]
        np.testing.assert_array_equal(inside.reshape(-1, 3), paint[:, p])
        box, = axes.patches
        assert (box.get_xy(), box.get_width()) == ((w - 0.5, h - 0.5), kernel)
    assert matrix.get_ylabel() == "row: place (i, j) in the window"
    figure.savefig(tmp_path / "windows.png")


def test_neighbouring_columns_differ_in_colour():
    paint = windows(X, 3).axes[-1].get_images()[0].get_array()
    assert len({tuple(colour) for colour in paint[0].tolist()}) == 9


@pytest.mark.parametrize(("x", "options"), [(X, {"kernel": 6}), (X, {"kernel": 1}), (X[0], {"kernel": 1})])
def test_none_or_too_many(x, options):
    with pytest.raises(InputError, match="windows: expected a picture"):
        windows(x, **options)
