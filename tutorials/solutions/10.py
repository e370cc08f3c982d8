"""Solutions of notebook 10, Make it fast."""


def exercise_10_1(intensity, peak, bandwidth):
    # Two limits hold at once, so the lower one decides; GB/s times FLOP a byte are GFLOP/s.
    return min(peak, intensity * bandwidth)


def exercise_10_2(N, C, F, OH, OW, KH, KW):
    # Every output is a sum of C*KH*KW products, and a product that is added to a sum is two operations.
    return 2 * N * F * OH * OW * C * KH * KW


def exercise_10_3(x, w, out):
    # out.size outputs with w[0].size products each; every array moves once.
    return 2 * out.size * w[0].size / (x.nbytes + w.nbytes + out.nbytes)


def exercise_10_4(A_T, G, B_T):
    # Independent errors add by their variances, so every matrix acts by the squares of its entries.
    products = (G**2).sum(1) * (B_T**2).sum(1)
    return ((A_T**2) @ products).mean() / 3


def exercise_10_5(share, factor):
    # The rest of the step stays: however large the factor, the step cannot become faster than 1 / (1 - share).
    return 1 / (1 - share + share / factor)
