// im2col and col2im of a slab of images.
//
// N image, C channel, H W input, KH KW kernel, OH OW output; small letters are indices into these. Through kernel tap (kh, kw),
// output pixel (oh, ow) sees input pixel (h, w), where h = oh stride + kh - pad and w = ow stride + kw - pad.
//
// columns (C*KH*KW, N*OH*OW): the row says (c, kh, kw), the column is the window (n, oh, ow). All images of the slab lie side by
// side, so that one matrix product serves them all.

// One thread a channel of a window: it copies KH*KW pixels, to KH*KW rows. Neighbouring threads write neighbouring values.
// count = C*windows, windows = N*OH*OW.
extern "C" __global__ void im2col(
    long long count, REAL *columns, const REAL *x, int N, int C, int H, int W, int KH, int KW, int OH, int OW, int stride, int pad)
{
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    long long windows = (long long)N * OH * OW, window = i % windows;
    int c = i / windows, n = window / (OH * OW), oh = window / OW % OH, ow = window % OW;
    const REAL *plane = x + ((long long)n * C + c) * H * W;
    REAL *to = columns + (long long)c * KH * KW * windows + window;
    for (int kh = 0; kh < KH; kh++)
        for (int kw = 0; kw < KW; kw++) {
            int h = oh * stride + kh - pad, w = ow * stride + kw - pad;
            *to = 0 <= h && h < H && 0 <= w && w < W ? plane[h * W + w] : 0;
            to += windows;
        }
}

// The adjoint, as a gather: one thread owns one pixel (n, c, h, w), and adds up the entries that were copied from it. Nobody else
// writes there, so no atomic addition is needed, and the sum has one order. `plus` (N, C, H, W) is added too, unless it is null.
// count = N*C*H*W.
extern "C" __global__ void col2im(
    long long count, REAL *dx, const REAL *columns, const REAL *plus, int N, int C, int H, int W, int KH, int KW, int OH, int OW,
    int stride, int pad)
{
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    int w = i % W, h = i / W % H, c = i / ((long long)H * W) % C, n = i / ((long long)C * H * W);
    // The windows over the pixel: 0 <= h + pad - oh stride < KH, and likewise for the columns.
    int oh_first = h + pad < KH ? 0 : (h + pad - KH) / stride + 1, oh_last = min(OH - 1, (h + pad) / stride);
    int ow_first = w + pad < KW ? 0 : (w + pad - KW) / stride + 1, ow_last = min(OW - 1, (w + pad) / stride);
    long long windows = (long long)N * OH * OW;
    REAL sum = plus ? plus[i] : 0;
    for (int oh = oh_first; oh <= oh_last; oh++)
        for (int ow = ow_first; ow <= ow_last; ow++) {
            int kh = h + pad - oh * stride, kw = w + pad - ow * stride;
            sum += columns[((long long)(c * KH + kh) * KW + kw) * windows + ((long long)n * OH + oh) * OW + ow];
        }
    dx[i] = sum;
}
