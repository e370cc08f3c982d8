// One step of gradient descent with momentum: one thread a value. Equations as in __init__.py. count: the values of w.
extern "C" __global__ void update(
    long long count, REAL *w, const REAL *grad, REAL *v, REAL lr, REAL momentum, int nesterov, REAL weight_decay)
{
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    REAL g = weight_decay != 0 ? grad[i] + weight_decay * w[i] : grad[i];  // (1)
    v[i] = momentum * v[i] + g;                                            // (2)
    w[i] -= lr * (nesterov ? g + momentum * v[i] : v[i]);                  // (3)
}
