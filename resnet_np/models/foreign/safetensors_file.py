"""safetensors files: the length of a header (uint64), the header (JSON: type, shape and place of each tensor), the numbers."""

import numpy as np
import safetensors

from resnet_np.errors import CheckpointError
from resnet_np.models.foreign.source import Source, damaged
from resnet_np.models.foreign.tensors import STORED, check_total, convert, types_of
from resnet_np.words import one_line

HEADER_SLACK = 1 << 20  # bytes by which the header may exceed a 16th of the file; a ResNet-152 takes 100,000
CODES = {
    "F64": "f8", "F32": "f4", "F16": "f2", "BF16": "bf16", "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1",
    "U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1", "BOOL": "bool",
}


def read(source: Source) -> dict[str, np.ndarray]:
    """Its arrays by name. Raises CheckpointError."""
    source.seek(0)
    header = int.from_bytes(source.read(8), "little")
    limit = min(source.size - 8, HEADER_SLACK + source.size // 16)
    if header > limit:
        raise damaged(f"it announces a header of {header:,} bytes, expected at most {limit:,}")
    source.seek(0)
    # The library holds the places of the tensors against each other and against the file. Its front end for NumPy does not
    # know bfloat16; this one gives types as text and numbers as bytes.
    found = dict(safetensors.deserialize(source.read()))
    for name, tensor in found.items():
        if tensor["dtype"] not in CODES:
            raise CheckpointError(f"its tensor {one_line(name, 60)} holds {one_line(tensor['dtype'], 20)} numbers, "
                                  f"expected {types_of(CODES.values())}; save it as one of these, such as tensor.float()")
    check_total({name: (CODES[tensor["dtype"]], tuple(tensor["shape"])) for name, tensor in found.items()}, source.size)
    arrays = {}
    for name in sorted(found):  # the library's order is another in every process
        tensor = found.pop(name)  # so that its bytes go where they are converted
        code = CODES[tensor["dtype"]]
        arrays[name] = convert(np.frombuffer(tensor["data"], STORED[code]).reshape(tensor["shape"]), code, copy=False)
    return arrays
