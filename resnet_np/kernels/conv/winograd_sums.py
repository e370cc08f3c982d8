"""The sums of Winograd's F(4x4, 3x3), of vectors: what winograd.py does to tiles of pixels, gradients, products and filters.

A tile is two-dimensional, its sums are taken along one axis and then along the other. Place 6 i + j of a tile in scratch is row i,
column j; a vector holds n channels, or n filters, of one place.
"""

import numpy as np

from resnet_np.kernels.compile import inline
from resnet_np.kernels.simd import add, add_scaled, lanes, load, scale, store, subtract

P, Q = 3 / 4, 3 / 2  # points: 0, P, -P, Q, -Q and infinity; see winograd.py
PP, QQ = P * P, Q * Q
INV_0, INV_P, INV_Q = 1 / (PP * QQ), 1 / (2 * PP * (PP - QQ)), 1 / (2 * QQ * (QQ - PP))  # 1 over products of points' differences
# G as a matrix; `_of_filter` computes G g.
G = np.array([[INV_0, 0, 0], [INV_P, P * INV_P, PP * INV_P], [INV_P, -P * INV_P, PP * INV_P],
              [INV_Q, Q * INV_Q, QQ * INV_Q], [INV_Q, -Q * INV_Q, QQ * INV_Q], [0, 0, 1]])


@inline
def _of_pixels(d0, d1, d2, d3, d4, d5):
    """B^T d."""
    p, q = add_scaled(d4, -QQ, d2), add_scaled(d4, -PP, d2)
    odd_p, odd_q = add_scaled(d3, -QQ, d1), add_scaled(d3, -PP, d1)
    return (add_scaled(add_scaled(d4, -PP - QQ, d2), PP * QQ, d0),
            add_scaled(p, P, odd_p), add_scaled(p, -P, odd_p), add_scaled(q, Q, odd_q), add_scaled(q, -Q, odd_q),
            add_scaled(add_scaled(d5, -PP - QQ, d3), PP * QQ, d1))


@inline
def _of_filter(g0, g1, g2):
    """G g."""
    p, q = add_scaled(scale(g0, INV_P), PP * INV_P, g2), add_scaled(scale(g0, INV_Q), QQ * INV_Q, g2)
    odd_p, odd_q = scale(g1, P * INV_P), scale(g1, Q * INV_Q)
    return scale(g0, INV_0), add(p, odd_p), subtract(p, odd_p), add(q, odd_q), subtract(q, odd_q), g2


@inline
def products_of(m0, m1, m2, m3, m4, m5):
    """A^T m."""
    p, odd_p, q, odd_q = add(m1, m2), subtract(m1, m2), add(m3, m4), subtract(m3, m4)
    return (add(m0, add(p, q)), add_scaled(scale(odd_q, Q), P, odd_p), add_scaled(scale(q, QQ), PP, p),
            add_scaled(add_scaled(m5, Q * QQ, odd_q), P * PP, odd_p))


@inline
def _of_gradients(y0, y1, y2, y3):
    """A dy, the adjoint of `products_of`."""
    p, q = add_scaled(y0, PP, y2), add_scaled(y0, QQ, y2)
    odd_p, odd_q = add_scaled(y1, PP, y3), add_scaled(y1, QQ, y3)
    return y0, add_scaled(p, P, odd_p), add_scaled(p, -P, odd_p), add_scaled(q, Q, odd_q), add_scaled(q, -Q, odd_q), y3


@inline
def _of_sums(s0, s1, s2, s3, s4, s5):
    """G^T s, the adjoint of `_of_filter`."""
    p, odd_p, q, odd_q = add(s1, s2), subtract(s1, s2), add(s3, s4), subtract(s3, s4)
    return (add_scaled(add_scaled(scale(q, INV_Q), INV_P, p), INV_0, s0), add_scaled(scale(odd_q, Q * INV_Q), P * INV_P, odd_p),
            add_scaled(add_scaled(s5, QQ * INV_Q, q), PP * INV_P, p))


@inline
def transform_pixels(padded, at, row, d, to, place):
    """B^T d B of the 6x6 pixels from padded[at] on, rows `row` apart, into d[to + k * place], k = 0 ... 35."""
    n = lanes(padded)
    a, b, c = _pixels(padded, at, row), _pixels(padded, at + n, row), _pixels(padded, at + 2 * n, row)
    e, f, g = _pixels(padded, at + 3 * n, row), _pixels(padded, at + 4 * n, row), _pixels(padded, at + 5 * n, row)
    _store_six(d, to, place, _of_pixels(a[0], b[0], c[0], e[0], f[0], g[0]))
    _store_six(d, to + 6 * place, place, _of_pixels(a[1], b[1], c[1], e[1], f[1], g[1]))
    _store_six(d, to + 12 * place, place, _of_pixels(a[2], b[2], c[2], e[2], f[2], g[2]))
    _store_six(d, to + 18 * place, place, _of_pixels(a[3], b[3], c[3], e[3], f[3], g[3]))
    _store_six(d, to + 24 * place, place, _of_pixels(a[4], b[4], c[4], e[4], f[4], g[4]))
    _store_six(d, to + 30 * place, place, _of_pixels(a[5], b[5], c[5], e[5], f[5], g[5]))


@inline
def _pixels(padded, at, row):
    return _of_pixels(*_load_six(padded, at, row))


@inline
def transform_filter(taps, at, g, to, place):
    """G g G^T of the 3x3 taps from taps[at] on into g[to + k * place]."""
    n = lanes(taps)
    a, b, c = _taps(taps, at), _taps(taps, at + n), _taps(taps, at + 2 * n)
    _store_six(g, to, place, _of_filter(a[0], b[0], c[0]))
    _store_six(g, to + 6 * place, place, _of_filter(a[1], b[1], c[1]))
    _store_six(g, to + 12 * place, place, _of_filter(a[2], b[2], c[2]))
    _store_six(g, to + 18 * place, place, _of_filter(a[3], b[3], c[3]))
    _store_six(g, to + 24 * place, place, _of_filter(a[4], b[4], c[4]))
    _store_six(g, to + 30 * place, place, _of_filter(a[5], b[5], c[5]))


@inline
def _taps(taps, at):
    n = lanes(taps)
    return _of_filter(load(taps, at), load(taps, at + 3 * n), load(taps, at + 6 * n))


@inline
def _transform_products(m, at, place, out, to, row):
    """A^T m A of the sums of products at m[at + k * place]: 4x4 outputs, from out[to] on, rows `row` apart."""
    n = lanes(out)
    a, b, c = products(m, at, place), products(m, at + place, place), products(m, at + 2 * place, place)
    d, e, f = products(m, at + 3 * place, place), products(m, at + 4 * place, place), products(m, at + 5 * place, place)
    _store_four(out, to, n, products_of(a[0], b[0], c[0], d[0], e[0], f[0]))
    _store_four(out, to + row, n, products_of(a[1], b[1], c[1], d[1], e[1], f[1]))
    _store_four(out, to + 2 * row, n, products_of(a[2], b[2], c[2], d[2], e[2], f[2]))
    _store_four(out, to + 3 * row, n, products_of(a[3], b[3], c[3], d[3], e[3], f[3]))


@inline
def products(m, at, place):
    return products_of(*_load_six(m, at, 6 * place))


@inline
def transform_strip(m, first, line, place, rows, across, height, ow, turned):
    """A^T m A of a strip of tiles, `line` apart from m[first] on -> turned (height * OW, n): what belongs to the map."""
    n, whole = lanes(turned), 4 * across
    for tile in range(rows * across):
        _transform_products(m, first + tile * line, place, turned, (tile // across * whole + tile % across) * 4 * n, whole * n)
    if ow < whole:  # the rows move up to each other
        for y in range(1, height):
            for i in range(0, ow * n, n):
                store(turned, y * ow * n + i, load(turned, y * whole * n + i))


@inline
def transform_gradients(dout, at, row, e, to, place):
    """A dy A^T of the 4x4 gradients from dout[at] on, rows `row` apart, into e[to + k * place]."""
    n = lanes(dout)
    a, b = _gradients(dout, at, row), _gradients(dout, at + n, row)
    c, d = _gradients(dout, at + 2 * n, row), _gradients(dout, at + 3 * n, row)
    _store_six(e, to, place, _of_gradients(a[0], b[0], c[0], d[0]))
    _store_six(e, to + 6 * place, place, _of_gradients(a[1], b[1], c[1], d[1]))
    _store_six(e, to + 12 * place, place, _of_gradients(a[2], b[2], c[2], d[2]))
    _store_six(e, to + 18 * place, place, _of_gradients(a[3], b[3], c[3], d[3]))
    _store_six(e, to + 24 * place, place, _of_gradients(a[4], b[4], c[4], d[4]))
    _store_six(e, to + 30 * place, place, _of_gradients(a[5], b[5], c[5], d[5]))


@inline
def _gradients(dout, at, row):
    return _of_gradients(*_load_four(dout, at, row))


@inline
def transform_sums(sums, at, place, taps, to):
    """G^T s G of the sums at sums[at + k * place]: 3x3 taps, from taps[to] on."""
    n = lanes(taps)
    a, b, c = _sums(sums, at, place), _sums(sums, at + place, place), _sums(sums, at + 2 * place, place)
    d, e, f = _sums(sums, at + 3 * place, place), _sums(sums, at + 4 * place, place), _sums(sums, at + 5 * place, place)
    _store_three(taps, to, _of_sums(a[0], b[0], c[0], d[0], e[0], f[0]))
    _store_three(taps, to + 3 * n, _of_sums(a[1], b[1], c[1], d[1], e[1], f[1]))
    _store_three(taps, to + 6 * n, _of_sums(a[2], b[2], c[2], d[2], e[2], f[2]))


@inline
def _sums(sums, at, place):
    return _of_sums(*_load_six(sums, at, 6 * place))


@inline
def _load_four(source, at, step):
    return load(source, at), load(source, at + step), load(source, at + 2 * step), load(source, at + 3 * step)


@inline
def _load_six(source, at, step):
    return (load(source, at), load(source, at + step), load(source, at + 2 * step), load(source, at + 3 * step),
            load(source, at + 4 * step), load(source, at + 5 * step))


@inline
def _store_three(target, to, vectors):
    n = lanes(target)
    store(target, to, vectors[0])
    store(target, to + n, vectors[1])
    store(target, to + 2 * n, vectors[2])


@inline
def _store_four(target, to, step, vectors):
    store(target, to, vectors[0])
    store(target, to + step, vectors[1])
    store(target, to + 2 * step, vectors[2])
    store(target, to + 3 * step, vectors[3])


@inline
def _store_six(target, to, step, vectors):
    store(target, to, vectors[0])
    store(target, to + step, vectors[1])
    store(target, to + 2 * step, vectors[2])
    store(target, to + 3 * step, vectors[3])
    store(target, to + 4 * step, vectors[4])
    store(target, to + 5 * step, vectors[5])
