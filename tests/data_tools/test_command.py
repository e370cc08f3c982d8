"""python -m data_tools."""

import pytest

from data_tools import __main__ as command
from data_tools import cifar, fetch, shapes10
from resnet_np.errors import DataError

pytestmark = pytest.mark.nojit


@pytest.fixture(autouse=True)
def small_shapes(monkeypatch):
    small = shapes10.make(train=50, test=20)
    monkeypatch.setattr(shapes10, "make", lambda: small)


@pytest.mark.parametrize("layout", ["bin", "py"])
def test_make_writes_what_can_be_read(tmp_path, capsys, layout):
    assert command.main(["make", "shapes10", str(tmp_path), "--layout", layout]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / cifar.FOLDERS[layout])
    found = cifar.read(tmp_path)
    assert (found.name, found.classes) == ("shapes10", shapes10.CLASSES)
    assert (len(found.train_labels), len(found.test_labels)) == (50, 20)


def test_make_twice_is_one_line(tmp_path, capsys):
    assert command.main(["make", "shapes10", str(tmp_path)]) == 0
    assert command.main(["make", "shapes10", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "exists already" in lines[0]


def test_fetch_passes_the_folder_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fetch, "fetch", lambda folder, progress: folder / "archive")
    assert command.main(["fetch", "--to", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "archive")


def test_fetch_offline_is_one_line(monkeypatch, capsys):
    def offline(*_, **__):
        raise DataError("fetch: offline: no answer")

    monkeypatch.setattr(fetch, "fetch", offline)
    assert command.main(["fetch"]) == 2
    assert capsys.readouterr().err == "data_tools: fetch: offline: no answer\n"


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["make", "mnist", "x"], ["make", "shapes10"],
                                       ["fetch", "--insecure"]])
def test_bad_command_lines_exit_2(arguments):
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2


def test_help(capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(["--help"])
    assert caught.value.code == 0
    assert {"fetch", "make"} <= set(capsys.readouterr().out.split())
