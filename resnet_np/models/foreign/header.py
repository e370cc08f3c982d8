"""What our own exports say about themselves, beside the tensors, so that reading them gives back what was written.

JSON: the header of a checkpoint, as models/checkpoint.py has it, and its normaliser. In safetensors files it is the metadata
NAME, in .npz files the bytes of the uint8 array ARRAY.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from resnet_np.errors import CheckpointError
from resnet_np.layers import BatchNorm2d
from resnet_np.layers.watch import leaves
from resnet_np.models.checkpoint import FORMAT, Checkpoint

NAME = "resnet_np"
ARRAY = "__metadata__"  # as safetensors calls the place
LONGEST = 256 << 10  # bytes: parsed, JSON may take twenty times that; 1,000 class names and a mean picture of 32x32 take a third
PLACES = 512  # bytes of a safetensors header that a tensor may take


def encode(checkpoint: Checkpoint) -> str:
    """Everything about the net but its tensors. Raises CheckpointError if it is too long to be read back."""
    norm = next(layer for layer in leaves(checkpoint.net).values() if isinstance(layer, BatchNorm2d))
    text = json.dumps({
        "format": FORMAT,
        "architecture": checkpoint.net.architecture,
        "class_names": list(checkpoint.class_names),
        "batch_norm": {"momentum": norm.momentum, "eps": norm.eps},
        "image_size": checkpoint.image_size,
        "crop": checkpoint.crop,
        "normaliser": {name: array.tolist() for name, array in checkpoint.normaliser.to_arrays().items()},  # float32: exact in JSON
        # The place in the run is of use with the optimiser's state only, which strict readers allow no room for.
        "metadata": {name: value for name, value in checkpoint.metadata.items() if name != "progress"},
    })
    if len(text) > LONGEST:
        raise CheckpointError(f"export: what describes the net takes {len(text):,} characters, expected at most {LONGEST:,}; a "
                              "mean picture of this size is kept by checkpoints only")
    return text


def find(path: Path, container: str, arrays: dict[str, np.ndarray]) -> dict[str, Any] | None:
    """The header of an export of ours, which is taken out of `arrays`; None if it is somebody else's file.

    path: a file that containers.read has accepted: what it announces has been held against its size.
    Raises ValueError or RecursionError if what should be a header is none.
    """
    text: str | None = None
    if container == "npz" and arrays.get(ARRAY, np.empty(0)).dtype == np.uint8:
        described = arrays.pop(ARRAY)
        if described.size > LONGEST:
            raise ValueError(f"it has {described.size:,} bytes, expected at most {LONGEST:,}")
        text = described.tobytes().decode()
    if container == "safetensors":
        with path.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            if size > LONGEST + PLACES * len(arrays):
                return None  # none of ours: somebody's long notes
            text = (json.loads(stream.read(size)).get("__metadata__") or {}).get(NAME)
    if text is None:
        return None
    header = json.loads(text)
    if not isinstance(header, dict):
        raise ValueError(f"its description of the net is a {type(header).__name__}, expected a JSON object")
    return header
