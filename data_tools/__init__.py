"""Everything that touches the files of data sets: fetch, verify, read, inspect, convert, make.

Of resnet_np it imports the lowest floor only.
"""

from data_tools.find import find, locate
from data_tools.image_set import ImageSet

__all__ = ["ImageSet", "find", "locate"]
