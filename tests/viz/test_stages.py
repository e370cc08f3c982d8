import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.viz.stages import stages
from resnet_np.viz.style import save

pytestmark = pytest.mark.nojit


def test_bars_are_the_numbers_and_their_shares(tmp_path):
    figure = stages({"stem": 1000, "layer1": 3000}, {"stem": 2e6, "layer1": 2e6})
    left, right = figure.axes
    np.testing.assert_allclose([bar.get_width() for bar in left.patches], [1, 3])
    np.testing.assert_allclose([bar.get_width() for bar in right.patches], [2, 2])
    assert [text.get_text() for text in left.texts] == ["25.0%", "75.0%"]
    assert [text.get_text() for text in right.texts] == ["50.0%", "50.0%"]
    assert [text.get_text() for text in left.get_yticklabels()] == ["stem", "layer1"]
    assert "thousands" in left.get_xlabel() and "millions" in right.get_xlabel()
    save(figure, tmp_path / "stages.png")


@pytest.mark.parametrize(("parameters", "macs"), [({"a": 1}, {"b": 1}), ({}, {}), ({"a": 0}, {"a": 1})])
def test_what_does_not_fit(parameters, macs):
    with pytest.raises(InputError, match="the same parts"):
        stages(parameters, macs)
