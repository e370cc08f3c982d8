"""Typical wrong answers to the exercises of notebook 10."""


def exercise_10_1(intensity, peak, bandwidth):
    # the slope without the roof
    return intensity * bandwidth


def exercise_10_2(N, C, F, OH, OW, KH, KW):
    # multiplications only
    return N * F * OH * OW * C * KH * KW


def exercise_10_3(x, w, out):
    # four bytes a number, whatever it is
    return 2 * out.size * w[0].size / (4 * (x.size + w.size + out.size))


def exercise_10_4(A_T, G, B_T):
    # errors are carried on by the sizes of A_T's entries, not by their squares
    return (abs(A_T) @ ((G**2).sum(1) * (B_T**2).sum(1))).mean() / 3


def exercise_10_5(share, factor):
    # as if the part were the whole step
    return share * factor
