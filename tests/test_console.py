import os
import sys

import pytest

from resnet_np import console

pytestmark = pytest.mark.nojit


@pytest.fixture
def carry_out(capfd):
    """What the command prints is kept, as is the process's own output."""
    def carry_out(command):
        code = console.carry_out("program", command, without_memory="try less")
        print("still here")
        sys.stdout.flush()
        out, err = capfd.readouterr()
        assert out.endswith("still here\n") and err.count("\n") == 1
        return code, out, err
    return carry_out


def failing(error):
    def command():
        print("said before")
        raise error
    return command


@pytest.mark.parametrize("error, code, words", [
    (OSError(5, "Input/output error"), 1, "program: cannot go on: [Errno 5] Input/output error"),
    (MemoryError(), 2, "program: not enough memory; try less"),
    (KeyboardInterrupt(), 130, "program: interrupted"),
])
def test_an_end_in_one_line_that_keeps_the_output(carry_out, error, code, words):
    found, out, err = carry_out(failing(error))
    assert (found, err) == (code, f"{words}\n") and "said before" in out


def test_without_an_output(monkeypatch, capfd):
    monkeypatch.setattr(sys, "stdout", None)
    assert console.carry_out("program", lambda: None, without_memory="") == 0
    assert console.carry_out("program", failing(OSError(5, os.strerror(5))), without_memory="") == 1
    assert capfd.readouterr().err.count("\n") == 1
