"""How somebody's names are drawn in figures: matplotlib's own font has no Chinese letters, and a dollar begins a formula."""

import contextlib
import functools
import logging
import re
import unicodedata
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Those of them that the machine has draw the letters that matplotlib's own font lacks, the earlier ones first: simplified forms
# before the forms of other regions, which are better than boxes. Of a collection matplotlib knew only the first font before its
# version 3.11: of Debian's fonts-noto-cjk the Japanese one, of macOS's PingFang and Heiti those of Hong Kong and Taiwan.
CHINESE = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "Microsoft YaHei", "PingFang SC",
    "Hiragino Sans GB", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "SimHei", "SimSun", "Heiti SC", "STHeiti", "Songti SC",
    "Droid Sans Fallback", "Arial Unicode MS", "AR PL UMing CN", "AR PL UKai CN", "Noto Serif CJK SC",
    "Noto Sans CJK JP", "Noto Sans CJK TC", "Noto Sans CJK HK", "Noto Sans CJK KR", "Source Han Sans", "PingFang HK", "PingFang TC",
    "Heiti TC", "Microsoft JhengHei", "Noto Serif CJK JP")
MOST = 12  # letters that a line names
_MISSING = r"(?s)Glyph (\d+) .*missing from"  # matplotlib's words; the letter between them may be the end of a line


def for_names() -> dict[str, Any]:
    """Arguments of a text that holds somebody's name: matplotlib's own font, and behind it those of CHINESE that are here; and a
    dollar is a dollar. From then on matplotlib no longer prints that a font is bolder than asked for."""
    logging.getLogger("matplotlib.font_manager").addFilter(_is_no_remark_on_weight)  # once: the same filter is not added twice
    return {"family": ["DejaVu Sans", *_chinese()], "parse_math": False}


def save_png(figure: "Figure", file: Path | BinaryIO, *, dpi: int, **more: Any) -> str | None:
    """Write a figure as a PNG -> what to tell the user about letters that became empty boxes, as no font has them; else None.

    more: further arguments of matplotlib's savefig.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", _MISSING)  # of each letter, whoever else was warned before
        figure.savefig(file, dpi=dpi, format="png", **more)
    letters: dict[str, None] = {}  # a set in the order of the figure
    for warning in caught:
        if missing := re.match(_MISSING, str(warning.message)):
            letters[chr(int(missing[1]))] = None
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return _about("".join(filter(str.isprintable, letters)))


def _about(letters: str) -> str | None:
    if not letters:
        return None
    named = letters[:MOST] + "..." * (len(letters) > MOST)
    if not _chinese() and any(map(_is_east_asian, letters)):
        return f"no font here has the letters {named}, which are drawn as boxes; install one, such as Debian's fonts-noto-cjk"
    return f"no font of the figures has the letters {named}, which are drawn as boxes"


def _is_east_asian(letter: str) -> bool:
    """An emoji is wide too, but in no font for Chinese."""
    return unicodedata.east_asian_width(letter) in "WF" and unicodedata.category(letter) != "So"


def _chinese() -> list[str]:
    """Those of CHINESE that the machine has."""
    found = _listed()
    if not found:
        _read_new_fonts()
        found = _listed()
    return found


def _listed() -> list[str]:
    from matplotlib import font_manager  # whoever draws has it loaded

    present = set(font_manager.fontManager.get_font_names())
    return [name for name in CHINESE if name in present]


@functools.cache
def _read_new_fonts() -> None:
    """matplotlib looks for fonts once and keeps the list in a file: it would never know of one that was installed afterwards."""
    from matplotlib import font_manager

    known = {font.fname for font in font_manager.fontManager.ttflist}
    for path in set(font_manager.findSystemFonts()) - known:
        with contextlib.suppress(Exception):  # as matplotlib does: a damaged font is left out
            font_manager.fontManager.addfont(path)


def _is_no_remark_on_weight(record: logging.LogRecord) -> bool:
    """matplotlib would print, in notebooks too, that WenQuanYi Zen Hei is somewhat bolder than asked for."""
    return "Failed to find font weight" not in record.getMessage()
