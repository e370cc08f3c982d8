"""Solutions of notebook 12, A good net soon."""

import numpy as np


def exercise_12_1(points):
    # Along the eigenvectors points are uncorrelated, with the eigenvalues for variances. Divided by the deviations, all are 1.
    variances, vectors = np.linalg.eigh(points.T @ points / len(points))
    return (vectors / np.sqrt(variances)).T


def exercise_12_2(C, k):
    # Output c is one product, 1 times the pixel in the middle of the window in channel c; everything else is times 0.
    w = np.zeros((C, C, k, k))
    w[range(C), range(C), k // 2, k // 2] = 1
    return w


def exercise_12_3(X, a, b, c):
    # With X = U S V^T, A = U S^2 U^T. So A X is U S^3 V^T and A A X is U S^5 V^T: U and V stay.
    A = X @ X.T
    return a * X + (b * A + c * A @ A) @ X


def exercise_12_4(share, ratio):
    # In the mean a step takes share * ratio + (1 - share) of one of full size, and as many times more of them fit.
    return 1 / (share * ratio + 1 - share)


def exercise_12_5(answers):
    # The shifts' weights are 1/2, 1/4 and 1/4; each is halved between the picture and its mirror image.
    weights = np.array([1 / 4, 1 / 4, 1 / 8, 1 / 8, 1 / 8, 1 / 8])
    return np.tensordot(weights, answers, axes=1)


def exercise_12_6(all_of_it, without):
    # What a seed does to both runs drops out of its difference. n - 1, because the mean comes from the same numbers.
    differences = without - all_of_it
    return differences.mean(), differences.std(ddof=1)
