// Softmax and cross-entropy: one thread an image. N image, K class; z the logits of an image, t its targets, p its probabilities.
// Equations as in array.py. count = N.

// (1): write the probabilities; `top` becomes the largest logit. -> the sum of exp(z - top).
__device__ double softmax_row(REAL *p, REAL *top, const REAL *z, int K)
{
    *top = z[0];
    for (int k = 1; k < K; k++)
        if (z[k] > *top) *top = z[k];
    double sum = 0;
    for (int k = 0; k < K; k++) sum += p[k] = exp(z[k] - *top);
    for (int k = 0; k < K; k++) p[k] = (REAL)(p[k] / sum);
    return sum;
}

extern "C" __global__ void probabilities(long long count, REAL *out, const REAL *logits, int K)
{
    long long n = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (n >= count) return;
    REAL top;
    softmax_row(out + n * K, &top, logits + n * K, K);
}

extern "C" __global__ void cross_entropy(long long count, REAL *losses, REAL *out, const REAL *logits, const REAL *targets, int K)
{
    long long n = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (n >= count) return;
    const REAL *z = logits + n * K, *t = targets + n * K;
    REAL top;
    double loss = log(softmax_row(out + n * K, &top, z, K));  // (2)
    for (int k = 0; k < K; k++)
        if (t[k] != 0) loss -= (double)t[k] * (z[k] - top);  // 0 times a logit of -inf is 0 here
    losses[n] = (REAL)loss;
}
