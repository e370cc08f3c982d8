import matplotlib.image
import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.viz.fork import fork
from resnet_np.viz.style import save

pytestmark = pytest.mark.nojit
PLACES = ("x", "main", "shortcut", "sum", "out")


def arrays(start=0.0, size=2):
    return {name: np.full((size, size), start + i) for i, name in enumerate(PLACES)}


def test_every_arrow_has_its_numbers():
    texts = [text.get_text() for text in fork(arrays(), arrays(10)).axes[0].texts]
    for i, name in enumerate(PLACES):
        assert f"{name}\n {i}.00  {i}.00\n {i}.00  {i}.00" in texts
        assert f"1{i}.00 1{i}.00\n1{i}.00 1{i}.00\nd{name}" in texts


def test_forward_alone_shows_no_gradient():
    texts = [text.get_text() for text in fork(arrays()).axes[0].texts]
    assert not any("backward" in text or text.endswith("dx") for text in texts)


@pytest.mark.filterwarnings("error")
def test_it_can_be_saved(tmp_path):
    save(fork(arrays(-9, 3), arrays(-99, 3)), tmp_path / "fork.png")
    assert matplotlib.image.imread(tmp_path / "fork.png").shape == (525, 1290, 4)


def test_wrong_arguments():
    for wrong in (arrays(size=4), arrays() | {"x": np.ones(2)}, {"x": np.ones((2, 2))}):
        with pytest.raises(InputError, match="expected x, main, shortcut, sum, out"):
            fork(wrong)
        with pytest.raises(InputError, match="expected x, main, shortcut, sum, out"):
            fork(arrays(), wrong)
