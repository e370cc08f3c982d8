"""The data set that a trained net is asked about."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from resnet_np.cli import options as shared
from resnet_np.errors import InputError

if TYPE_CHECKING:
    from data_tools import ImageSet
    from resnet_np.models import Checkpoint


def of(checkpoint: "Checkpoint", given: str | None, command: str, say: Callable[[str], None]) -> "ImageSet":
    """What the user named, else what the net was trained on, in the size that it sees. Raises InputError for other classes."""
    import data_tools
    from resnet_np.training import provenance

    pictures = data_tools.find(shared.data_spec(given, checkpoint.metadata.get("dataset", {})), say=say, progress=False,
                               image_size=checkpoint.image_size, crop=checkpoint.crop)
    if pictures.classes != checkpoint.class_names:
        raise InputError(
            f"{command}: the net knows {', '.join(checkpoint.class_names[:4])}, ... but {provenance.name(pictures)} holds "
            f"{', '.join(pictures.classes[:4])}, ...; name its own data set with --data"
        )
    return pictures
