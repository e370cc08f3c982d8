"""Names in letters that matplotlib's own font lacks, whatever fonts this machine has: the tests bring their own."""

import importlib
import inspect
import io
import pkgutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

import resnet_np.viz
from resnet_np import fonts
from resnet_np.viz.prediction import Shown

pytestmark = pytest.mark.nojit
CAT, DOG = "猫", "狗"
PLANTED = "Planted Hei"  # a name of its own: matplotlib remembers for the whole process which file a name belongs to
NAMES_OF_NAMES = {"classes", "names", "titles", "captions", "photos"}  # parameters through which somebody's names come
PICTURES, K = np.zeros((2, 3, 4, 4), np.uint8), np.arange(2)
# What draws names, and with which arguments
DRAWING = {
    ("bars", "scores"): (np.zeros(2), np.full(2, 0.5), (CAT, DOG)),
    ("confusion", "confusion"): (np.eye(2, dtype=int), (CAT, DOG)),
    ("gallery", "gallery"): (PICTURES, (CAT, DOG)),
    ("heat", "heat_maps"): (PICTURES, np.ones((2, 1, 4, 4)), (CAT, DOG), [(DOG, CAT)]),
    ("mistakes", "mistakes"): (PICTURES, K, K[::-1], np.full(2, 0.5), (CAT, DOG)),
    ("pictures", "contact_sheet"): (PICTURES, K, (CAT, DOG)),
    ("pictures", "signed_maps"): (np.ones((2, 4, 4)), (CAT, DOG)),
    ("prediction", "prediction"): ([Shown(CAT, np.zeros((4, 4, 3), np.uint8), PICTURES[0], [(CAT, 0.9), (DOG, 0.1)], None)],),
}


@pytest.fixture(autouse=True)
def no_fonts_of_this_machine(monkeypatch):
    """As where none of CHINESE is; and what is read during a test is forgotten after it."""
    manager = font_manager.fontManager
    monkeypatch.setattr(manager, "ttflist", [font for font in manager.ttflist if font.name not in fonts.CHINESE])
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [])
    fonts._read_new_fonts.cache_clear()
    yield
    fonts._read_new_fonts.cache_clear()


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A call writes the font PLANTED, which has one letter, where matplotlib looks for fonts, and returns its file."""
    def write(letter):
        path = str(tmp_path / "planted.ttf")
        builder = FontBuilder(1000, isTTF=True)
        builder.setupGlyphOrder([".notdef", "letter"])
        builder.setupCharacterMap({ord(letter): "letter"})
        pen = TTGlyphPen(None)
        for place, (x, y) in enumerate(((0, 0), (0, 800), (800, 800), (800, 0))):
            (pen.lineTo if place else pen.moveTo)((x, y))
        pen.closePath()
        square = pen.glyph()
        builder.setupGlyf({".notdef": square, "letter": square})
        builder.setupHorizontalMetrics({".notdef": (900, 0), "letter": (900, 0)})
        builder.setupHorizontalHeader(ascent=800, descent=-200)
        builder.setupNameTable({"familyName": PLANTED, "styleName": "Regular"})
        builder.setupOS2(usWeightClass=500)  # somewhat bold, as WenQuanYi Zen Hei: matplotlib has a word to say about that
        builder.setupPost()
        builder.save(path)
        monkeypatch.setattr(fonts, "CHINESE", ("no such font", PLANTED))
        monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [path])
        return path
    return write


def saved(text, file=None):
    figure = Figure(figsize=(2, 1))
    figure.text(0.1, 0.5, text, **fonts.for_names())
    return fonts.save_png(figure, file or io.BytesIO(), dpi=50)


def drawing_functions():
    """(module, name) of all functions in viz that return a figure and take names."""
    for module in pkgutil.iter_modules(resnet_np.viz.__path__):
        for name, function in vars(importlib.import_module(f"resnet_np.viz.{module.name}")).items():
            if inspect.isfunction(function) and function.__module__.endswith(f".{module.name}") and not name.startswith("_"):
                signature = inspect.signature(function)
                if signature.return_annotation is Figure and NAMES_OF_NAMES & set(signature.parameters):
                    yield module.name, name


def test_every_function_that_takes_names_is_tried_here():
    assert set(drawing_functions()) == set(DRAWING)


@pytest.mark.filterwarnings("ignore:Glyph .* missing")
@pytest.mark.parametrize("module, name", DRAWING)
def test_names_are_drawn_with_the_fonts_for_names(module, name, monkeypatch):
    monkeypatch.setattr(fonts, "CHINESE", ("no such font", "STIXGeneral"))  # matplotlib brings it along
    figure = getattr(importlib.import_module(f"resnet_np.viz.{module}"), name)(*DRAWING[module, name])
    figure.draw_without_rendering()  # makes the labels of ticks
    texts = [text for text in figure.findobj(Text) if text.get_visible() and {CAT, DOG} & set(text.get_text())]
    assert {letter for text in texts for letter in text.get_text()} >= {CAT, DOG}
    for text in texts:
        assert text.get_fontfamily() == ["DejaVu Sans", "STIXGeneral"] and not text.get_parse_math()


def test_letters_that_no_font_has_are_named():
    assert saved("cat") is None
    assert saved(f"{CAT} {DOG}{CAT} x") == ("no font here has the letters 猫狗, which are drawn as boxes; install one, such as "
                                           "Debian's fonts-noto-cjk")
    assert saved("\ue000") is None  # nor can the terminal show it
    many = "".join(map(chr, range(0x4E00, 0x4E00 + 40)))
    assert f"the letters {many[:12]}..., which" in saved(many)


def test_no_advice_that_would_not_help(installed):
    assert saved("\U00012000") == "no font of the figures has the letters \U00012000, which are drawn as boxes"  # cuneiform
    installed(CAT)
    fonts._read_new_fonts.cache_clear()
    assert saved(CAT + DOG) == "no font of the figures has the letters 狗, which are drawn as boxes"


@pytest.mark.parametrize("wanted, first_of_the_collection", [
    ("Noto Sans CJK SC", "Noto Sans CJK JP"), ("PingFang SC", "PingFang HK"), ("Heiti SC", "Heiti TC")])
def test_what_matplotlib_before_3_11_sees_of_a_collection(wanted, first_of_the_collection):
    """Later in the list, for the forms of its letters, but before a box."""
    assert fonts.CHINESE.index(wanted) < fonts.CHINESE.index(first_of_the_collection)


def test_a_font_that_was_installed_after_matplotlib_made_its_list(installed, tmp_path, caplog):
    installed(CAT)
    assert fonts.for_names()["family"] == ["DejaVu Sans", PLANTED]
    assert saved(CAT, tmp_path / "out.png") is None and not caplog.records
    assert np.asarray(Image.open(tmp_path / "out.png").convert("L")).min() < 50


def test_a_damaged_font_is_left_out(installed, tmp_path, monkeypatch):
    good = installed(CAT)
    (tmp_path / "bad.ttf").write_bytes(b"no font")
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(tmp_path / "bad.ttf"), str(tmp_path / "none.ttf"), good])
    assert saved(CAT) is None


def test_the_machine_is_searched_once(monkeypatch):
    searches = []
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: searches.append(1) or [])
    for _ in range(3):
        assert fonts.for_names()["family"] == ["DejaVu Sans"]
    assert len(searches) == 1


def test_other_warnings_are_passed_on(tmp_path):
    class Loud(Figure):
        def savefig(self, *args, **kwargs):
            warnings.warn("something else", UserWarning, stacklevel=1)
            super().savefig(*args, **kwargs)

    figure = Loud()
    figure.text(0.5, 0.5, CAT)
    with pytest.warns(UserWarning, match="something else") as caught:
        assert "猫" in fonts.save_png(figure, Path(tmp_path / "out.png"), dpi=20)
    assert len(caught) == 1
