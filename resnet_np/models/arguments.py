"""The checks that both families of nets share."""

from resnet_np.errors import InputError

# Typing errors must not fill the memory.
WIDEST = 4096  # filters of the first stage
MOST_CLASSES = 100_000  # ImageNet-21k has 21,841


def check_arguments(who: str, *, width: int, dropout: float, classes: int, fused: bool) -> None:
    """Raises InputError naming `who`, what came and what was expected."""
    if isinstance(width, bool) or not isinstance(width, int) or not 1 <= width <= WIDEST:
        raise InputError(f"{who}: width is {width!r}, expected a whole number from 1 to {WIDEST:,}")
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise InputError(f"{who}: dropout is {dropout!r}, expected a number of at least 0 and below 1")
    if isinstance(classes, bool) or not isinstance(classes, int) or not 2 <= classes <= MOST_CLASSES:
        raise InputError(f"{who}: classes is {classes!r}, expected a whole number from 2 to {MOST_CLASSES:,}")
    if not isinstance(fused, bool):
        raise InputError(f"{who}: fused is {fused!r}, expected True or False")
