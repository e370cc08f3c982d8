"""python -m resnet_np: the same as the command resnet-np."""

import sys

from resnet_np.cli import main

if __name__ == "__main__":
    sys.exit(main())
