"""Which fonts draw class names in figures: matplotlib's own has no Chinese letters."""

# The first of these that the machine has draws the letters that matplotlib's own font lacks.
CHINESE = ("Noto Sans CJK SC", "Source Han Sans SC", "Microsoft YaHei", "PingFang SC", "Hiragino Sans GB",
           "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "SimHei", "Arial Unicode MS")


def families() -> list[str]:
    """matplotlib's own font, and behind it those of CHINESE that this machine has: for the argument `family` of a text."""
    from matplotlib import font_manager  # whoever draws has it loaded

    present = set(font_manager.get_font_names())
    return ["DejaVu Sans", *(name for name in CHINESE if name in present)]
