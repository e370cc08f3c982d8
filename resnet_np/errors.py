"""The package's error classes.

Every message is written for the user: what came, what was expected, what to do. The command line prints it as one line
and exits with `exit_code`.
"""


class ResNetNpError(Exception):
    """Base of every error that the user can mend."""

    exit_code = 2


class InputError(ResNetNpError, ValueError):
    """An argument, an option or an array that does not fit."""


class BackendError(ResNetNpError):
    """A backend that is unknown or cannot run on this machine."""


class DataError(ResNetNpError):
    """A data set that is missing, damaged or hostile."""


class CheckpointError(ResNetNpError):
    """A run folder or checkpoint that is missing, damaged or belongs to another net."""


class TrainingError(ResNetNpError):
    """A run that started and failed."""

    exit_code = 1


class GradientError(ResNetNpError):
    """A gradient, or a rule beside it, that the checker rejects."""

    exit_code = 1
