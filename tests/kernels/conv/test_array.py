import numpy as np
import pytest

from resnet_np.kernels.conv import array, loops

pytestmark = pytest.mark.nojit

# x (N, C, H, W), kernel, stride, pad
CASES = [((2, 3, 7, 5), (3, 3), 1, 1), ((1, 2, 8, 9), (3, 3), 2, 1), ((2, 1, 5, 5), (5, 5), 2, 2),
         ((1, 4, 4, 3), (1, 1), 2, 0), ((2, 2, 6, 5), (3, 2), 1, 0), ((1, 3, 8, 7), (2, 2), 3, 0),
         ((1, 2, 4, 4), (1, 1), 1, 2)]
cases = pytest.mark.parametrize(("shape", "kernel", "stride", "pad"), CASES, ids=str)


@cases
def test_col2im_is_the_adjoint_of_im2col(rng, shape, kernel, stride, pad):
    """<im2col(x), c> == <x, col2im(c)> for all x and c: false if col2im overwrites where windows overlap."""
    x = rng.standard_normal(shape)
    columns = array.im2col(x, *kernel, stride=stride, pad=pad)
    c = rng.standard_normal(columns.shape)
    images = array.col2im(c, x_shape=shape, kh=kernel[0], kw=kernel[1], stride=stride, pad=pad)
    np.testing.assert_allclose(np.vdot(columns, c), np.vdot(x, images), rtol=1e-12)


def test_a_column_is_a_window():
    x = np.arange(2 * 3 * 4.0).reshape(1, 2, 3, 4)
    columns = array.im2col(x, 2, 3, stride=1, pad=0)
    assert columns.shape == (1, 12, 4)
    for p, (oh, ow) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        np.testing.assert_array_equal(columns[0, :, p], x[0, :, oh:oh + 2, ow:ow + 3].ravel())


def test_col2im_counts_the_windows_over_a_pixel():
    counts = array.col2im(np.ones((1, 9, 4)), x_shape=(1, 1, 4, 4), kh=3, kw=3, stride=1, pad=0)
    np.testing.assert_array_equal(counts[0, 0], [[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]])


@pytest.mark.parametrize("images_a_slab", [1, 2, 3])
def test_slabs_of_images(rng, monkeypatch, images_a_slab):
    """The columns of a batch need not fit into one slab, nor the batch divide into slabs."""
    x, w, dout = (rng.standard_normal(shape) for shape in ((5, 2, 4, 4), (3, 2, 3, 3), (5, 3, 4, 4)))
    monkeypatch.setattr(array, "SLAB_BYTES", images_a_slab * 2 * 9 * 16 * 8)
    options = {"stride": 1, "pad": 1}
    for name, args, extra in (("forward", (x, w), {}), ("input_grad", (dout, w), {"x_shape": x.shape}),
                              ("weight_grad", (dout, x), {"w_shape": w.shape})):
        ours = getattr(array, name)(*args, **extra, **options)
        np.testing.assert_allclose(ours, getattr(loops, name)(*args, **extra, **options), rtol=0, atol=1e-12)


def test_columns_stay_within_a_slab(rng, monkeypatch):
    """A batch whose columns would take 14 MB is done 1 MiB at a time."""
    monkeypatch.setattr(array, "SLAB_BYTES", 1 << 20)
    sizes = []
    im2col = array.im2col

    def measured(*args, **options):
        columns = im2col(*args, **options)
        sizes.append(columns.nbytes)
        return columns

    monkeypatch.setattr(array, "im2col", measured)
    x, w = (rng.standard_normal(shape).astype(np.float32) for shape in ((24, 16, 32, 32), (16, 16, 3, 3)))
    array.forward(x, w, stride=1, pad=1)
    assert sum(sizes) > 14_000_000
    assert max(sizes) <= 1 << 20
