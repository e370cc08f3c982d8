"""The stand-in as a module that other processes find: put this folder on their $PYTHONPATH, and $CUPY_STANDIN where g++ may write.

PyTorch, which compares itself with us on the same GPU, is sent to the processor.
"""

import importlib.util
import os
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1]

spec = importlib.util.spec_from_file_location("standin", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)])
standin = sys.modules["standin"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(standin)
standin.gpu.cache = os.environ["CUPY_STANDIN"]
sys.modules["cupy"] = standin.make()

if importlib.util.find_spec("torch"):
    from resnet_np.bench import peer

    peer.GPU = "cpu"
