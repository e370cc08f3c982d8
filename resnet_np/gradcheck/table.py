"""The whole table: every operation, layer and block, and some nets."""

from collections.abc import Iterator

from resnet_np.gradcheck.assemblies import blocks, layers, nets
from resnet_np.gradcheck.operations import operations
from resnet_np.gradcheck.rows import NET, SINGLE, Row, Subject, run

__all__ = ["NET", "SINGLE", "Row", "Subject", "run", "subjects"]


def subjects() -> Iterator[Subject]:
    """In the order in which things are built from one another."""
    yield from operations()
    yield from layers()
    yield from blocks()
    yield from nets()
