"""How somebody's names are drawn in figures: matplotlib's own font has no Chinese letters, and a dollar begins a formula."""

from typing import Any

# The first of these that the machine has draws the letters that matplotlib's own font lacks.
CHINESE = ("Noto Sans CJK SC", "Source Han Sans SC", "Microsoft YaHei", "PingFang SC", "Hiragino Sans GB",
           "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "SimHei", "Arial Unicode MS")


def for_names() -> dict[str, Any]:
    """Arguments of a text that holds somebody's name: matplotlib's own font, and behind it those of CHINESE that are here; and a
    dollar is a dollar."""
    from matplotlib import font_manager  # whoever draws has it loaded

    present = set(font_manager.get_font_names())
    return {"family": ["DejaVu Sans", *(name for name in CHINESE if name in present)], "parse_math": False}
