"""Text in columns, for terminals that may lack its letters."""

import sys
import unicodedata


def can_show(text: str) -> bool:
    """Whether standard output has these letters."""
    return _shown(text) == text


def shortened(text: str, width: int) -> str:
    """At most so many columns, the end cut off; as the terminal will show it. What is no letter is a blank."""
    text = _shown("".join(letter if letter.isprintable() else " " for letter in text))
    if columns(text) <= width:
        return text
    while columns(text) > width - 3:
        text = text[:-1]
    return text + "..."


def cut(text: str, width: int) -> str:
    """As many of its first letters as fit into so many columns; as the terminal will show them."""
    text = _shown(text)
    while columns(text) > width:
        text = text[:-1]
    return text


def padded(text: str, width: int) -> str:
    """Followed by blanks up to so many columns."""
    return text + " " * (width - columns(text))


def flush_right(text: str, width: int) -> str:
    """Blanks before it up to so many columns."""
    return " " * (width - columns(text)) + text


def columns(text: str) -> int:
    """How wide a terminal shows it: Chinese letters take two columns, accents that stand alone none."""
    return sum(0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _shown(text: str) -> str:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
