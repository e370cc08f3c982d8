// Batch normalisation, with the addition and the ReLU behind it where kernels/fused asks for them. Symbols as in array.py.
//
// N image, C channel, P = H*W pixels of a plane, M = N*P values of a channel; x, out, dout, dx (N, C, P), all others (C).
//
// Two ways to share the work:
//   sums over a channel   one block a channel. 32 neighbouring threads walk along one plane, the next 32 along the next image's. Then
//                         the threads' sums are added pairwise in shared memory. Sums are doubles; their order is always the same.
//   one value each        one block a plane (n, c); its threads walk along it.

#define MOST 1024  // threads that a block may have
#define LANES 32   // threads that read neighbouring values

// The sum of every thread's value, known to all of them. blockDim.x is a power of two, at most MOST.
__device__ double block_sum(double value)
{
    __shared__ double sums[MOST];
    sums[threadIdx.x] = value;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
    }
    double sum = sums[0];
    __syncthreads();  // the next sum overwrites sums[0] only when everybody has read it
    return sum;
}

// gamma x_hat + beta, with scale = gamma inv_std. The mean is subtracted first: folded into beta it would cancel where it is large
// against the deviation. fma, so that the sign that the ReLU saw is found again on the way back, whatever a compiler contracts.
__device__ REAL affine(REAL x, REAL mean, REAL scale, REAL beta)
{
    return fma(x - mean, scale, beta);
}

// (1). One block a channel.
extern "C" __global__ void __launch_bounds__(MOST) statistics(REAL *mean, REAL *var, const REAL *x, int N, int C, int P)
{
    int c = blockIdx.x, first = threadIdx.x / LANES, lane = threadIdx.x % LANES, rows = blockDim.x / LANES;
    double M = (double)N * P, sum = 0, squares = 0;
    for (int n = first; n < N; n += rows)
        for (int p = lane; p < P; p += LANES) sum += x[((long long)n * C + c) * P + p];
    double centre = block_sum(sum) / M;
    // The second pass is about the mean: sum(x^2) - M mean^2 cancels.
    for (int n = first; n < N; n += rows)
        for (int p = lane; p < P; p += LANES) {
            double deviation = x[((long long)n * C + c) * P + p] - centre;
            squares += deviation * deviation;
        }
    squares = block_sum(squares);
    if (threadIdx.x == 0) {
        mean[c] = (REAL)centre;
        var[c] = (REAL)(squares / M);
    }
}

// (2), plus `same` (N, C, P) unless it is null, and 0 where that is <= 0 if `relu`. One block a plane.
extern "C" __global__ void normalise(
    REAL *out, const REAL *x, const REAL *mean, const REAL *inv_std, const REAL *gamma, const REAL *beta, const REAL *same, int relu,
    int C, int P)
{
    int c = blockIdx.x % C;
    long long plane = (long long)blockIdx.x * P;
    REAL scale = inv_std[c] * gamma[c];
    for (int p = threadIdx.x; p < P; p += blockDim.x) {
        REAL value = affine(x[plane + p], mean[c], scale, beta[c]);
        if (same) value += same[plane + p];
        out[plane + p] = relu && value <= 0 ? 0 : value;  // asked this way round, NaN is kept
    }
}

// (3). With a beta there is a ReLU behind: dout counts where the normalised x is positive, or NaN. One block a channel.
extern "C" __global__ void __launch_bounds__(MOST) parameter_grads(
    REAL *dgamma, REAL *dbeta, const REAL *dout, const REAL *x, const REAL *mean, const REAL *inv_std, const REAL *gamma,
    const REAL *beta, int N, int C, int P)
{
    int c = blockIdx.x, first = threadIdx.x / LANES, lane = threadIdx.x % LANES, rows = blockDim.x / LANES;
    REAL scale = inv_std[c] * gamma[c];
    double sum = 0, moment = 0;
    for (int n = first; n < N; n += rows)
        for (int p = lane; p < P; p += LANES) {
            long long i = ((long long)n * C + c) * P + p;
            REAL d = beta && affine(x[i], mean[c], scale, beta[c]) <= 0 ? 0 : dout[i], x_hat = (x[i] - mean[c]) * inv_std[c];
            sum += d;
            moment += (double)d * x_hat;
        }
    sum = block_sum(sum);
    moment = block_sum(moment);
    if (threadIdx.x == 0) {
        dbeta[c] = (REAL)sum;
        dgamma[c] = (REAL)moment;
    }
}

// (5), or if `frozen` (6); beta as above. One block a plane.
extern "C" __global__ void input_grad(
    REAL *dx, const REAL *dout, const REAL *x, const REAL *mean, const REAL *inv_std, const REAL *gamma, const REAL *beta,
    const REAL *dgamma, const REAL *dbeta, int frozen, int N, int C, int P)
{
    int c = blockIdx.x % C;
    long long plane = (long long)blockIdx.x * P;
    REAL scale = inv_std[c] * gamma[c], M = (REAL)N * P, mean_dout = dbeta[c] / M, slope = dgamma[c] / M;
    for (int p = threadIdx.x; p < P; p += blockDim.x) {
        REAL value = x[plane + p], x_hat = (value - mean[c]) * inv_std[c];
        REAL d = beta && affine(value, mean[c], scale, beta[c]) <= 0 ? 0 : dout[plane + p];
        dx[plane + p] = scale * (frozen ? d : d - mean_dout - x_hat * slope);
    }
}
