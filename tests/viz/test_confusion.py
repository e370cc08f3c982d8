import matplotlib.image
import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.viz.confusion import confusion
from resnet_np.viz.style import save

pytestmark = pytest.mark.nojit


def test_a_row_is_a_true_class():
    matrix = np.array([[8, 2], [5, 15]])
    matrix.setflags(write=False)
    axes, bar = confusion(matrix, ("cat", "dog")).axes
    assert axes.get_ylabel() == "true class" and axes.get_xlabel() == "predicted class"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cat", "dog"]
    np.testing.assert_allclose(axes.images[0].get_array(), [[80, 20], [25, 75]])  # per cent of the row
    assert {text.get_position(): text.get_text() for text in axes.texts} == {
        (0, 0): "8", (1, 0): "2", (0, 1): "5", (1, 1): "15"}  # x is the prediction, y the truth
    assert axes.get_title() == "23 of 30 right (76.7 %)"
    assert bar.get_ylabel() == "share of the true class (%)"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("K", [1, 10, 20, 21, 100])
def test_it_can_be_saved(tmp_path, rng, K):
    matrix = rng.integers(0, 50, (K, K))
    matrix[0] = 0  # a class without pictures: no division by zero
    figure = confusion(matrix, [rf"$\q$ {i}" for i in range(K)])  # which is no formula
    assert len(figure.axes[0].texts) == (K * K if K <= 20 else 0)
    assert len(figure.axes[0].get_xticks()) <= 20
    assert np.isfinite(figure.axes[0].images[0].get_array()).all()
    save(figure, tmp_path / "confusion.png")
    assert matplotlib.image.imread(tmp_path / "confusion.png").shape[2] == 4


def test_wrong_arguments():
    for shape in ((2, 2), (3,), (3, 2)):
        with pytest.raises(InputError, match="3 classes need a matrix of shape"):
            confusion(np.zeros(shape, np.int64), ("a", "b", "c"))
