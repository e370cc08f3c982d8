"""A net as a file for others: torchvision's names, which are ours, in safetensors or .npz.

PyTorch's strict load takes what is written: `load_state_dict(safetensors.torch.load_file(path))` on a net of the same layers.
"""

from os import PathLike
from pathlib import Path

import numpy as np
import safetensors.numpy

from resnet_np.errors import InputError
from resnet_np.layers import BatchNorm2d
from resnet_np.layers.watch import leaves
from resnet_np.models.checkpoint import Checkpoint, net_arrays, write_atomically
from resnet_np.models.foreign import header

SUFFIXES = (".safetensors", ".npz")


def export(checkpoint: Checkpoint, path: str | PathLike[str]) -> int:
    """Write the net of `checkpoint` to `path`, .safetensors or .npz by its suffix -> the number of tensors.

    With it goes what the net cannot be used without: architecture, normaliser, class names, size of picture. `load_weights` gives
    it all back to the bit. What is there to go on training (velocities, the place in the run) or to judge pictures (`typical`)
    stays behind: a strict reader allows no tensors beside those of the net.
    Raises InputError for another suffix, CheckpointError if it cannot be written.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise InputError(f"export: {path.name} ends in {path.suffix or 'nothing'}, expected {' or '.join(SUFFIXES)}")
    arrays = {name: np.ascontiguousarray(array) for name, array in net_arrays(checkpoint.net).items()}
    arrays |= {f"{name}.num_batches_tracked": np.zeros((), np.int64)  # PyTorch's own count, which only momentum=None needs
               for name, layer in leaves(checkpoint.net).items() if isinstance(layer, BatchNorm2d)}
    text = header.encode(checkpoint)
    if path.suffix == ".npz":
        described = {header.ARRAY: np.frombuffer(text.encode(), np.uint8)}
        write_atomically(path, lambda stream: np.savez(stream, **arrays, **described))  # type: ignore[arg-type]
    else:
        content = safetensors.numpy.save(arrays, {"format": "pt", header.NAME: text})
        write_atomically(path, lambda stream: stream.write(content))
    return len(arrays)
