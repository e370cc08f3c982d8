// Batch normalisation, with the addition and the ReLU behind it where kernels/fused asks for them. Symbols as in array.py.
//
// N image, C channel, P = H*W pixels of a plane, M = N*P values of a channel; x, out, dout, dx (N, C, P), all others (C).
//
// Two ways to share the work:
//   sums over a channel   S blocks a channel, each with its part of the images, for a net's first stage has 16 channels, and a GPU a
//                         hundred processors. 32 neighbouring threads walk along one plane, the next 32 along the next image's. Then
//                         the threads' sums are added pairwise in shared memory: two numbers of every part, parts (2, S, C). A second
//                         kernel adds those, one thread a channel. Sums are doubles; S depends on shapes alone, so that their order
//                         is always the same.
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

// The first image of part s; that of part s + 1 is behind its last.
__device__ int first_image(int s, int S, int N)
{
    return (long long)s * N / S;
}

// gamma x_hat + beta of a value that is `from_mean` away from the mean, with scale = gamma inv_std. The mean is subtracted first:
// folded into beta it would cancel where it is large against the deviation. fma, so that the sign that the ReLU saw is found again
// on the way back, whatever a compiler contracts.
__device__ REAL affine(REAL from_mean, REAL scale, REAL beta)
{
    return fma(from_mean, scale, beta);
}

// (1) of a part: the mean of its values, and the sum of their squared distances from it. S blocks a channel.
extern "C" __global__ void __launch_bounds__(MOST) moments(const REAL *x, double *parts, int N, int C, int P, int S)
{
    int c = blockIdx.x % C, s = blockIdx.x / C, lane = threadIdx.x % LANES, rows = blockDim.x / LANES;
    int first = first_image(s, S, N) + threadIdx.x / LANES, end = first_image(s + 1, S, N);
    double values = (double)(end - first_image(s, S, N)) * P, sum = 0, squares = 0;
    for (int n = first; n < end; n += rows)
        for (int p = lane; p < P; p += LANES) sum += x[((long long)n * C + c) * P + p];
    double centre = block_sum(sum) / values;
    // The second pass is about the mean: sum(x^2) - M mean^2 cancels.
    for (int n = first; n < end; n += rows)
        for (int p = lane; p < P; p += LANES) {
            double deviation = x[((long long)n * C + c) * P + p] - centre;
            squares += deviation * deviation;
        }
    squares = block_sum(squares);
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = centre;
        parts[(long long)S * C + blockIdx.x] = squares;
    }
}

// (1) of all parts together: Chan, Golub and LeVeque 1979, equation 2.1. count = C.
extern "C" __global__ void combine_moments(long long count, REAL *mean, REAL *var, const double *parts, int N, int P, int S)
{
    long long c = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= count) return;
    double M = (double)N * P, centre = 0, squares = 0;
    for (int s = 0; s < S; s++)
        centre += (double)(first_image(s + 1, S, N) - first_image(s, S, N)) * P / M * parts[s * count + c];
    for (int s = 0; s < S; s++) {
        double away = parts[s * count + c] - centre;
        squares += parts[(S + s) * count + c] + (double)(first_image(s + 1, S, N) - first_image(s, S, N)) * P * away * away;
    }
    mean[c] = (REAL)centre;
    var[c] = (REAL)(squares / M);
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
        REAL value = affine(x[plane + p] - mean[c], scale, beta[c]);
        if (same) value += same[plane + p];
        out[plane + p] = relu && value <= 0 ? 0 : value;  // asked this way round, NaN is kept
    }
}

// (3) of a part. With a beta there is a ReLU behind: dout counts where the normalised x is positive, or NaN. S blocks a channel.
extern "C" __global__ void __launch_bounds__(MOST) parameter_grads(
    const REAL *dout, const REAL *x, const REAL *mean, const REAL *inv_std, const REAL *gamma, const REAL *beta, double *parts, int N,
    int C, int P, int S)
{
    int c = blockIdx.x % C, s = blockIdx.x / C, lane = threadIdx.x % LANES, rows = blockDim.x / LANES;
    int first = first_image(s, S, N) + threadIdx.x / LANES, end = first_image(s + 1, S, N);
    REAL scale = inv_std[c] * gamma[c];
    double sum = 0, moment = 0;
    for (int n = first; n < end; n += rows)
        for (int p = lane; p < P; p += LANES) {
            long long i = ((long long)n * C + c) * P + p;
            REAL d = dout[i], from_mean = x[i] - mean[c];
            if (beta && affine(from_mean, scale, beta[c]) <= 0) d = 0;
            sum += d;
            moment += (double)d * (from_mean * inv_std[c]);
        }
    sum = block_sum(sum);
    moment = block_sum(moment);
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = sum;
        parts[(long long)S * C + blockIdx.x] = moment;
    }
}

// (3) of all parts together. count = C.
extern "C" __global__ void combine_grads(long long count, REAL *dgamma, REAL *dbeta, const double *parts, int S)
{
    long long c = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= count) return;
    double sum = 0, moment = 0;
    for (int s = 0; s < S; s++) {
        sum += parts[s * count + c];
        moment += parts[(S + s) * count + c];
    }
    dbeta[c] = (REAL)sum;
    dgamma[c] = (REAL)moment;
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
        REAL d = dout[plane + p], from_mean = x[plane + p] - mean[c];
        if (beta && affine(from_mean, scale, beta[c]) <= 0) d = 0;
        dx[plane + p] = scale * (frozen ? d : d - mean_dout - from_mean * inv_std[c] * slope);
    }
}
