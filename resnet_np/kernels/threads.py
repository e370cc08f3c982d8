"""How a thread waits for the others: it looks again and again for a while ("spins"), then sleeps until it is woken.

GNU OpenMP, which runs Numba's threads on Linux, spins for some 9 ms. That is fine alone: to sleep and be woken takes longer than
the pauses within a training step. Beside other work it is ruinous: the thread that is waited for has lost its core to somebody
else, and a thread that spins for it keeps the other core busy for nothing. So we spin for as long as most of our own pauses last,
some 30 microseconds. ResNet-20, batch 128, images/s on 2 shared cores of an AMD EPYC (Zen 4), 2026-11-28, the same bits; medians of
seven turns, in the last column of four:

                                   alone       beside two busy processes       two trainings at once, each
    GNU OpenMP's 9 ms              751         87                              89
    none (OMP_WAIT_POLICY=passive) 746         288                             445
    1,000 looks                    786         427                             436
    1,500 looks                    760         397
    Numba's TBB layer              792         445                             446

TBB is as good, but is one more package, for x86-64 alone, whose library Numba does not find where pip puts it.
"""

import os
import sys
from typing import Any

VARIABLE = "GOMP_SPINCOUNT"  # read once, when GNU OpenMP is loaded, which is when Numba starts its threads
SPINS = "1000"  # looks
WISHES = (VARIABLE, "OMP_WAIT_POLICY")  # where the user has said how threads should wait, she is obeyed


def spin_briefly() -> None:
    """Choose how threads wait, for this process, which may load GNU OpenMP for others too, and for those that it starts.

    Call it before Numba starts its threads.
    """
    if not any(os.environ.get(name) for name in WISHES):
        os.environ[VARIABLE] = SPINS


def users_environment() -> dict[str, str]:
    """The environment without what `spin_briefly` added: for programs of others, which know their own threads best."""
    return {name: value for name, value in os.environ.items() if (name, value) != (VARIABLE, SPINS)}


def count() -> int:
    """How many threads the kernels run on. Numba starts them to tell."""
    spin_briefly()
    import numba

    return int(numba.get_num_threads())


def most_threads() -> int:
    """How many there can be, however few `count` says at the moment."""
    spin_briefly()
    from numba.core import config

    settings: Any = config  # they are made at run time, where mypy cannot see them
    return int(settings.NUMBA_NUM_THREADS)


def layer() -> str:
    """Numba's threading layer, "omp", "tbb" or "workqueue", and how its threads wait where that is known; for the doctor.

    Raises ValueError before the first parallel kernel has run: Numba chooses the layer then.
    """
    import numba

    name = str(numba.threading_layer())
    gnu = sys.platform == "linux" and name == "omp"  # on other systems OpenMP is another maker's, who does not read our variable
    return name + (f"; threads that wait {waiting()}" if gnu else "")


def waiting() -> str:
    """How threads wait, in words, for the doctor."""
    if os.environ.get(VARIABLE) == SPINS:
        return f"spin briefly, then sleep ({VARIABLE}={SPINS})"
    return f"do as you have said ({', '.join(f'{name}={os.environ[name]}' for name in WISHES if os.environ.get(name))})"
