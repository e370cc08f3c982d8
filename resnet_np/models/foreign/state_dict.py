"""Which of the dictionaries that a file holds are the weights."""

from typing import Any

import numpy as np

from resnet_np.errors import CheckpointError
from resnet_np.models.foreign.source import listing
from resnet_np.models.foreign.tensors import Tensor

# In the order of preference: the trained weights before their running average, which only some programs keep.
HOLDERS = (
    "state_dict", "net", "model", "model_state_dict", "model_state", "module", "network", "weights", "params", "state_dict_ema",
    "model_ema",
)
DEPTH = 3  # {'model': {'state_dict': …}} occurs


def choose(content: Any) -> dict[str, Tensor]:
    """The tensors of the state dict in `content`, by name; what is no tensor is left out.

    Raises CheckpointError naming what the file holds if there is no state dict.
    """
    found = _search(content, DEPTH)
    if found is None:
        held = f"a dictionary of {listing(content)}" if isinstance(content, dict) else f"a {type(content).__name__}"
        if isinstance(content, dict) and any(isinstance(value, np.ndarray) for value in content.values()):
            raise CheckpointError("it holds NumPy's arrays in a file of PyTorch, expected tensors; numpy.savez(path, **arrays) "
                                  "writes a file that can be read")
        raise CheckpointError(
            f"it holds {held}, expected tensors by name, or a dictionary that has them under {', '.join(HOLDERS[:4])} or the like"
        )
    return found


def _search(content: Any, depth: int) -> dict[str, Tensor] | None:
    if not isinstance(content, dict) or not depth:
        return None
    named = {_name(key): value for key, value in content.items() if isinstance(key, str | bytes)}
    for holder in HOLDERS:
        if (found := _search(named.get(holder), depth - 1)) is not None:
            return found
    return {name: value for name, value in named.items() if isinstance(value, Tensor)} or None


def _name(key: str | bytes) -> str:
    """Python 2 wrote its texts as bytes."""
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else key
