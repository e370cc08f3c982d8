"""Text of others in lines of ours: what a file holds as a name may be anything, and long."""

import unicodedata
from typing import Any

LONGEST_NAME = 200  # letters of a class or a data set; ImageNet's longest has 40
LONGEST_PATH = 4096  # letters; Linux has no longer ones


def one_line(text: Any, length: int = 200) -> str:
    """The first letters of it on one line, blanks for what cannot be printed; of an empty text its type."""
    letters = "".join(letter if letter.isprintable() else " " for letter in str(text)[:length])
    return " ".join(letters.split()) or type(text).__name__


def one_path(path: Any) -> str:
    """A path on one line: it may hold any letter."""
    return one_line(path, LONGEST_PATH)


def fits_on_a_line(name: Any, longest: int = LONGEST_NAME) -> bool:
    """Whether it is a text that can be printed as it is, in a table or beside a picture; a blank of any width is a letter."""
    return isinstance(name, str) and all(map(_is_shown, name)) and bool(name.strip()) and len(name) <= longest


def _is_shown(letter: str) -> bool:
    return letter.isprintable() or unicodedata.category(letter) == "Zs"  # Python prints no blank but the common one
