"""python -m data_tools inspect DATA --sheet OUT.png"""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from data_tools import __main__ as command
from data_tools import cifar, sheet
from resnet_np import fonts

pytestmark = pytest.mark.nojit
CHINESE = ("飞机", "汽车", "鸟", "猫", "鹿", "狗", "青蛙", "马", "船", "卡车 $x_1$")


@pytest.fixture
def run(capsys):
    """A command line -> exit code, standard output, standard error."""
    def call(*arguments):
        code = command.main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()
    return call


@pytest.mark.parametrize("classes, said", [
    (cifar.CLASSES, ""),
    (CHINESE, "--sheet: no font here has the letters 飞机汽车鸟猫鹿狗青蛙马船..., which are drawn as boxes; install one, such as "
              "Debian's fonts-noto-cjk\n")], ids=["english", "chinese"])
@pytest.mark.filterwarnings("error")
def test_sheet(tmp_path, run, image_set, classes, said, monkeypatch):
    monkeypatch.setattr(fonts, "CHINESE", ())
    held = image_set(train=200, classes=classes)
    path = cifar.write(held, tmp_path / "x", "png")
    code, out, err = run("inspect", path, "--sheet", tmp_path / "sheet.png")
    assert (code, err) == (0, said)
    drawn = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    zoom, gap = 3, sheet.GAP
    side = 32 * zoom
    left = drawn.shape[1] - 10 * (side + gap)
    for label in range(10):
        top = sheet.HEAD + label * (side + gap)
        for column, place in enumerate(np.flatnonzero(held.train_labels == label)[:10]):
            x = left + column * (side + gap)
            tile = drawn[top:top + side, x:x + side]
            expected = held.train_images[place].transpose(1, 2, 0)
            for row in range(zoom):  # every pixel is a square of `zoom`
                np.testing.assert_array_equal(tile[row::zoom, zoom - 1 - row::zoom], expected)
        name = drawn[top:top + side, :left - 2]
        assert name.min() < 100, "no name beside the pictures"
        assert (drawn[top:top + side, left - 2:left] == 255).all(), "the name reaches into the pictures"


def test_sheet_of_few_pictures_and_of_long_names(tmp_path, run, image_set):
    names = ("w" * 40, "猫" * 40, r"$\nosuch$", *"abcdefg")
    path = cifar.write(image_set(train=1, classes=names), tmp_path / "x", "npz")
    assert run("inspect", path, "--sheet", tmp_path / "sheet.png")[0] == 0
    drawn = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    margin = drawn.shape[1] - 10 * (96 + sheet.GAP)
    assert (drawn[:, margin - 2:margin] == 255).all(), "a name reaches into the pictures"


def test_sheet_that_cannot_be_written(tmp_path, run, image_set):
    path = cifar.write(image_set(), tmp_path / "x", "npz")
    code, out, err = run("inspect", path, "--sheet", tmp_path)
    assert (code, out) == (2, "")
    assert f"--sheet: {tmp_path}: cannot be written" in err


@pytest.mark.parametrize(("size", "side"), [(7, 91), (32, 96), (100, 100), (300, 224)])
def test_a_sheet_of_a_folder(tmp_path, pets, run, size, side):
    assert run("inspect", pets, "--image-size", size, "--sheet", tmp_path / "sheet.png")[0] == 0
    drawn = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    assert drawn.shape[0] == sheet.HEAD + 2 * (side + sheet.GAP)
    left = drawn.shape[1] - 10 * (side + sheet.GAP)
    for row, name in enumerate(("cat", "dog")):
        top = sheet.HEAD + row * (side + sheet.GAP)
        assert (drawn[top:top + side, left:left + side, 0] == sum(name.encode()) % 256).all()
        assert (drawn[top:top + side, left + side:left + side + sheet.GAP] == 255).all()


@pytest.mark.slow
def test_a_sheet_of_many_classes(tmp_path, image_set):
    many = dataclasses.replace(image_set(), classes=tuple(f"class {number}" for number in range(sheet.MAX_CLASSES + 70)))
    sheet.write(many, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as drawn:
        assert drawn.height == sheet.HEAD + sheet.MAX_CLASSES * (96 + sheet.GAP)


def test_every_text_is_in_the_fonts_for_names(tmp_path, image_set, monkeypatch):
    monkeypatch.setattr(fonts, "CHINESE", ("STIXGeneral",))  # matplotlib brings it along
    drawn = []
    monkeypatch.setattr(sheet, "save_png", lambda figure, path, dpi: drawn.extend(figure.texts))
    sheet.write(image_set(classes=CHINESE), tmp_path / "sheet.png")
    assert [text.get_text() for text in drawn][1:] == [f"{k}  {name}" for k, name in enumerate(CHINESE)]
    for text in drawn:
        assert text.get_fontfamily() == ["DejaVu Sans", "STIXGeneral"] and not text.get_parse_math()
