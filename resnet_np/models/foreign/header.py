"""What our own exports say about themselves, beside the tensors, so that reading them gives back what was written.

JSON: the header of a checkpoint (models/checkpoint.py) and its normaliser. In safetensors files it is the metadata NAME, in .npz
files the bytes of the uint8 array ARRAY.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from resnet_np.errors import CheckpointError

NAME = "resnet_np"
ARRAY = "__metadata__"  # as safetensors calls the place
LONGEST = 1 << 20  # bytes; readers of safetensors take no more for granted. A mean picture of 224 pixels a side is longer


def encode(header: dict[str, Any]) -> str:
    """Raises CheckpointError if it is too long to be read back."""
    text = json.dumps(header)
    if len(text) > LONGEST - (100 << 10):
        raise CheckpointError(f"what describes the net takes {len(text):,} bytes, too many for the head of a weight file; a mean "
                              "picture this large is kept by checkpoints (.npz that `resnet-np train` writes) only")
    return text


def find(path: Path, container: str, arrays: dict[str, np.ndarray]) -> dict[str, Any] | None:
    """The header of an export of ours, which is taken out of `arrays`; None if it is somebody else's file.

    path: a file that containers.read has accepted: what it announces has been held against its size.
    Raises ValueError or RecursionError if what should be a header is none.
    """
    text: str | None = None
    if container == "npz" and arrays.get(ARRAY, np.empty(0)).dtype == np.uint8:
        text = arrays.pop(ARRAY).tobytes().decode()
    if container == "safetensors":
        with path.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            text = json.loads(stream.read(size)).get("__metadata__", {}).get(NAME)
    if text is None:
        return None
    header = json.loads(text)
    if not isinstance(header, dict):
        raise ValueError(f"its description of the net is a {type(header).__name__}, expected a JSON object")
    return header
