"""How a thread waits for the others: it looks again and again for a while ("spins"), then sleeps until it is woken.

GNU OpenMP, which runs Numba's threads on Linux, spins for some 9 ms. That is fine alone: to sleep and be woken takes longer than
the pauses within a training step. Beside other work it is ruinous: the thread that is waited for has lost its core to somebody
else, and who spins for it keeps the other core from everybody. So we spin for as long as our own pauses last, and no longer.
"""

import os

VARIABLE = "GOMP_SPINCOUNT"  # read once, when GNU OpenMP is loaded, which is when Numba starts its threads
SPINS = "1500"  # looks, of about 30 ns each
WISHES = (VARIABLE, "OMP_WAIT_POLICY")  # where the user has said how threads should wait, she is obeyed


def spin_briefly() -> None:
    """Choose for this process, and those that it starts, how threads wait. Call it before Numba starts its threads."""
    if not any(os.environ.get(name) for name in WISHES):
        os.environ[VARIABLE] = SPINS


def users_environment() -> dict[str, str]:
    """The environment without what `spin_briefly` added: for programs of others, which know their own threads best."""
    return {name: value for name, value in os.environ.items() if (name, value) != (VARIABLE, SPINS)}


def waiting() -> str:
    """How threads wait, in words, for the doctor."""
    if os.environ.get(VARIABLE) == SPINS:
        return f"spin briefly, then sleep ({VARIABLE}={SPINS})"
    return f"do as you have said ({', '.join(f'{name}={os.environ[name]}' for name in WISHES if os.environ.get(name))})"
