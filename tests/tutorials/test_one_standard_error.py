"""Exercises 6.3 and 7.4, on the one-standard-error rule: their checks tell it from what it is easily mistaken for."""

import math

import pytest

from resnet_np import tutor

# Of (highest so far, n): how far below the highest an epoch may lie.
BARS = {
    "the highest": lambda p, n: 0.0, "the root is forgotten": lambda p, n: p * (1 - p) / n,
    "n is forgotten": lambda p, n: math.sqrt(p * (1 - p)), "root and n are forgotten": lambda p, n: p * (1 - p),
    "two standard errors": lambda p, n: 2 * math.sqrt(p * (1 - p) / n), "always the last": lambda p, n: 1.0,
    "0.5 for p": lambda p, n: math.sqrt(0.25 / n)}


def rule(p, n):
    return math.sqrt(p * (1 - p) / n)


def epoch_kept(records, bar=rule, choose=max):
    p, n = max(record["validation_accuracy"] for record in records), records[0]["validation_count"]
    return choose(record["epoch"] for record in records if record["validation_accuracy"] >= p - bar(p, n))


def stopped(accuracies, n, patience, bar=rule):
    kept = 1
    for epoch, accuracy in enumerate(accuracies, 1):
        p = max(accuracies[:epoch])
        if accuracy >= p - bar(p, n):
            kept = epoch
        if epoch - kept >= patience:
            return kept, epoch
    return kept, len(accuracies)


def test_the_rule_is_accepted():
    assert tutor.check("6.3", epoch_kept) and tutor.check("7.4", stopped)


@pytest.mark.parametrize("mistake", BARS)
def test_another_bar_is_rejected(capsys, mistake):
    assert not tutor.check("6.3", lambda records: epoch_kept(records, BARS[mistake]))
    assert not tutor.check("7.4", lambda accuracies, n, patience: stopped(accuracies, n, patience, BARS[mistake]))
    assert capsys.readouterr().out.count(" expected ") == 2, "it says what came and what was expected"


def own_error(records):
    """The standard error of each epoch, in place of the highest's."""
    p, n = max(record["validation_accuracy"] for record in records), records[0]["validation_count"]
    return max(record["epoch"] for record in records if record["validation_accuracy"] + rule(record["validation_accuracy"], n) >= p)


@pytest.mark.parametrize("mistake", [
    lambda records: epoch_kept(records, choose=min), lambda records: epoch_kept(records) - 1, own_error,
], ids=["the first within", "counted from 0", "each epoch's own error"])
def test_6_3_rejects(mistake):
    assert not tutor.check("6.3", mistake)


def sinking(accuracies, n, patience):
    """The bar lies below the epoch kept last, in place of the highest."""
    kept = 1
    for epoch, accuracy in enumerate(accuracies, 1):
        p = accuracies[kept - 1]
        if accuracy >= p - rule(p, n):
            kept = epoch
        if epoch - kept >= patience:
            return kept, epoch
    return kept, len(accuracies)


def since_the_highest(accuracies, n, patience):
    """The patience counts from the highest, not from the kept epoch."""
    for epoch in range(1, len(accuracies) + 1):
        highest = accuracies.index(max(accuracies[:epoch])) + 1
        if epoch - highest >= patience:
            break
    return stopped(accuracies[:epoch], n, patience)[0], epoch


@pytest.mark.parametrize("mistake", [
    sinking, since_the_highest, lambda accuracies, n, patience: stopped(accuracies, n, patience + 1),
    lambda accuracies, n, patience: (stopped(accuracies, n, patience)[0], len(accuracies)),
], ids=["a sinking bar", "patience since the highest", "an epoch too late", "never stops"])
def test_7_4_rejects(mistake):
    assert not tutor.check("7.4", mistake)
