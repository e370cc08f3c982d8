// Max pooling. N image, C channel, H W input, k side of the window, OH OW output. Output pixel (oh, ow) sees the input pixels
// (oh stride + i - pad, ow stride + j - pad), i, j = 0 ... k - 1, where they exist.

// One thread an output pixel. winners: the place h*W + w of the maximum in its plane. count = N*C*OH*OW.
extern "C" __global__ void max_forward(
    long long count, REAL *out, int *winners, const REAL *x, int H, int W, int OH, int OW, int k, int stride, int pad)
{
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    int ow = i % OW, oh = i / OW % OH;
    const REAL *plane = x + i / ((long long)OH * OW) * H * W;
    int top = max(0, oh * stride - pad), bottom = min(H, oh * stride - pad + k);  // padding takes no part
    int left = max(0, ow * stride - pad), right = min(W, ow * stride - pad + k);
    int winner = top * W + left;
    REAL best = plane[winner];
    for (int h = top; h < bottom; h++)
        for (int w = left; w < right; w++) {
            REAL value = plane[h * W + w];
            // > and not >=: of equals the first. Only a NaN differs from itself: it wins, and keeps its place.
            if (value > best || (value != value && best == best)) {
                best = value;
                winner = h * W + w;
            }
        }
    out[i] = best;
    winners[i] = winner;
}

// The way back, as a gather: thread t of a plane's block owns its pixels t, t + 32, t + 64 ... It reads who won which window, one
// after the other, and adds what belongs to its own. Nobody else writes there, so no atomic addition is needed, and the sum has one
// order. All threads read the same place at the same time, which costs one read. OP = OH*OW windows, P = H*W pixels of a plane.
extern "C" __global__ void max_backward(REAL *dx, const REAL *dout, const int *winners, int OP, int P)
{
    const REAL *d = dout + (long long)blockIdx.x * OP;
    const int *winner = winners + (long long)blockIdx.x * OP;
    REAL *plane = dx + (long long)blockIdx.x * P;
    for (int p = threadIdx.x; p < P; p += blockDim.x) plane[p] = 0;
    for (int o = 0; o < OP; o++)
        if (winner[o] % blockDim.x == threadIdx.x) plane[winner[o]] += d[o];
}
