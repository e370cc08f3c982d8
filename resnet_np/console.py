"""How the commands meet a terminal: they print any letter, and end with one line and an exit code, never with a traceback."""

import io
import os
import sys
from collections.abc import Callable

from resnet_np.errors import ResNetNpError


def carry_out(program: str, command: Callable[[], int | None], *, without_memory: str) -> int:
    """Run a command -> the exit code: its own or 0; that of an error of ours; 2 without memory, 130 after Ctrl-C.

    program is the name before every error; without_memory says what to try where memory is full. A reader that leaves, `head` say,
    ends the command without a word, with exit code 1; an output that cannot be written otherwise, with a line.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter shows its number
    try:
        try:
            return command() or 0
        except ResNetNpError as error:
            print(f"{program}: {error}", file=sys.stderr)
            return error.exit_code
        except MemoryError as error:
            print(f"{program}: not enough memory{' on the GPU' * _is_of_cupy(error)}; {without_memory}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print(f"{program}: interrupted", file=sys.stderr)
            return 130
        except Exception as error:
            if not _is_of_cupy(error):
                raise
            print(f"{program}: the GPU reports {error}; see nvidia-smi, or choose --backend numba", file=sys.stderr)
            return 1
        finally:
            if sys.stdout:  # a program may be started without one
                sys.stdout.flush()  # here, not when Python ends, where nobody can catch it
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            print(f"{program}: cannot go on: {error}", file=sys.stderr)
        _discard_unwritten()
        return 1


def _discard_unwritten() -> None:
    """What the output did not take would fail again when Python ends."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_of_cupy(error: Exception) -> bool:
    """Without an import: CuPy is optional."""
    return type(error).__module__.partition(".")[0] in ("cupy", "cupy_backends")
