"""Which roof an operation stands under, and the figure."""

import io

import pytest

from resnet_np.bench.roofline import Point, Roofline, draw
from resnet_np.bench.task import Task
from resnet_np.viz.style import save

pytestmark = pytest.mark.nojit

CONV = Point("conv forward", "16 -> 16 x 32x32, 3x3", 6, seconds=1e-3, flops=50_000_000, bytes=1_000_000)
ADD = Point("elementwise add", "16 x 32 x 32", 3, seconds=1e-3, flops=1_000_000, bytes=12_000_000)


@pytest.fixture
def roofline():
    return Roofline(Task("resnet8", 4, 2), sgemm=100.0, copy=20.0, step=0.010, outside=0.001, points=(CONV, ADD))


def test_under_the_flat_roof(roofline):
    assert roofline.bound(CONV) == "compute" and CONV.gflops == pytest.approx(50)
    assert roofline.share(CONV) == pytest.approx(0.5)


def test_under_the_slope(roofline):
    assert roofline.bound(ADD) == "memory" and ADD.gigabytes_per_second == pytest.approx(12)
    assert roofline.share(ADD) == pytest.approx(12 / 20)


def test_figure(roofline):
    figure = draw(roofline)
    axes, = figure.axes
    assert axes.get_xscale() == axes.get_yscale() == "log"
    x, y = axes.lines[0].get_data()
    assert y[0] / x[0] == pytest.approx(20) and list(y[1:]) == [100, 100] and x[1] == pytest.approx(5)
    points = {tuple(offset) for collection in axes.collections for offset in collection.get_offsets().tolist()}
    assert points == {(CONV.intensity, CONV.gflops), (ADD.intensity, ADD.gflops)}
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["conv forward, 60%", "elementwise add, 30%"]
    stream = io.BytesIO()
    save(figure, stream)
    assert stream.getvalue().startswith(b"\x89PNG")


def test_many_operations_share_a_legend_line(roofline):
    points = tuple(Point(f"kernel {i}", "1", 1, 1e-3, 10_000, 1000) for i in range(9))
    legend = draw(Roofline(roofline.task, 100.0, 20.0, 0.010, 0.001, points)).axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()][-1] == "3 others, 30%"
