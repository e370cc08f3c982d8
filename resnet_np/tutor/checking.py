"""Checks of the exercises.

The check of an exercise is a function of the learner's answer in `notebook_NN.py`. It returns what it confirmed, in a sentence, or
says what is wrong through the helpers below, which raise `NotYet`:

    @exercise("1.2")
    def output_size(answer):
        for size, kernel in ((5, 3), (32, 3)):
            same(call(answer, size, kernel), size - kernel + 1, given=f"size={size}, kernel={kernel}", hint="count the windows")
        return "the sizes agree with the library's"

It compares with the library, or tests a property: no solution stands in it.
"""

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

_checks: dict[str, Callable[[Any], str]] = {}
_FEW = 12  # numbers that a message shows one by one


class NotYet(Exception):
    """The answer is not right; the message says which input, what came, what was expected."""


class Blank(NotYet):
    """The answer is the blank itself."""


class Verdict:
    """True or False, which a notebook does not print below the message when a cell ends with it."""

    def __init__(self, right: bool) -> None:
        self._right = right

    def __bool__(self) -> bool:
        return self._right

    def __repr__(self) -> str:
        return repr(self._right)

    def _ipython_display_(self) -> None:
        pass


def exercise(name: str) -> Callable[[Callable[[Any], str]], Callable[[Any], str]]:
    """Register the decorated function as the check of exercise `name`, for example "1.2"."""

    def register(function: Callable[[Any], str]) -> Callable[[Any], str]:
        _checks[name] = function
        return function

    return register


def exercises(notebook: int) -> list[str]:
    """The names of a notebook's exercises, in order."""
    module = f"{__package__}.notebook_{notebook:02d}"
    if importlib.util.find_spec(module) is None:
        return []
    importlib.import_module(module)
    mine = [name for name in _checks if name.split(".")[0] == str(notebook)]
    return sorted(mine, key=lambda name: int(name.split(".")[1]))


def check(name: str, answer: Any) -> Verdict:
    """Print whether the answer to exercise `name` is right, and if not, why. -> right or not. Never raises."""
    return Verdict(_judge(name, answer))


def _judge(name: str, answer: Any) -> bool:
    notebook = str(name).split(".")[0]
    known = exercises(int(notebook)) if notebook.isdecimal() else []
    if name not in known:
        print(f"There is no exercise {name!r}." + (f" Notebook {notebook} has {', '.join(known)}." if known else ""))
        return False
    try:
        filled(answer)
        confirmed = _checks[name](answer)
    except Blank as blank:
        print(f"{name} is still blank{blank}: put your code in place of the `...` and run the cell again.")
        return False
    except NotYet as wrong:
        print(f"{name} is not right yet: {wrong}")
        return False
    except (Exception, SystemExit) as error:  # the answer is something that the check did not think of
        print(f"{name} is not right yet: the check could not use {describe(answer)} ({_name(error)}).")
        return False
    print(f"{name} is right: {confirmed}.")
    return True


# Helpers for checks


def wrong(message: str, *, hint: str = "") -> NoReturn:
    """The answer is not right, because of `message`."""
    raise NotYet(_sentence(message) + (f"\nHint: {_sentence(hint)}" if hint else ""))


def filled(answer: Any, *, of: str = "") -> Any:
    """-> the answer, unless it is the blank: None, `...`, or a tuple or list that holds one."""
    parts = answer if isinstance(answer, tuple | list) else (answer,)
    if any(part is None or part is ... for part in parts):
        raise Blank(of)
    return answer


def call(function: Any, /, *arguments: Any, hint: str = "", **named: Any) -> Any:
    """-> what the learner's function returns for copies of these arguments.

    It is an error to raise, to return nothing, and to write into an array that was passed.
    """
    if not callable(function):
        wrong(f"expected a function, got {describe(function)}")
    given = given_as(arguments, named)
    passed = [_copied(value) for value in arguments]
    passed_named = {key: _copied(value) for key, value in named.items()}
    try:
        result = function(*passed, **passed_named)
    except NotYet:
        raise
    except (Exception, SystemExit) as error:
        wrong(f"for {given} your function raised {_name(error)}", hint=hint)
    filled(result, of=" (your function returns nothing)")
    before, after = [*arguments, *named.values()], [*passed, *passed_named.values()]
    for old, new in zip(before, after, strict=True):
        if isinstance(old, np.ndarray) and not np.array_equal(old, new, equal_nan=old.dtype.kind in "fc"):
            wrong(f"for {given} your function wrote into an array that it was given", hint="make a new array, or a copy first")
    return result


def same(got: Any, expected: Any, *, given: str = "", what: str = "", hint: str = "", tolerance: float = 1e-5) -> None:
    """Nothing, if `got` is `expected` in shape and in values, to `tolerance` of the largest expected value.

    expected may be a number, a truth value, a text, an array, or a tuple or list of numbers.
    given says for which input, in the learner's words; what names the value where an answer has several.
    """
    place = (f"for {given} " if given else "") + (f"{what}: " if what else "")
    if isinstance(expected, str | bool):
        if isinstance(got, np.bool_):
            got = bool(got)
        if type(got) is not type(expected) or got != expected:
            wrong(f"{place}expected {describe(expected)}, got {describe(got)}", hint=hint)
        return
    values, target = _numbers(got), np.asarray(expected)
    if values is None:
        wrong(f"{place}expected {describe(expected)}, got {describe(got)}", hint=hint)
    if values.shape != target.shape:
        if target.size <= _FEW and values.size <= _FEW:
            wrong(f"{place}expected {describe(expected)}, got {describe(got)}", hint=hint)
        wrong(f"{place}expected the shape {target.shape}, got {values.shape}", hint=hint)
    scale = float(np.abs(target).max(initial=0))
    off = ~(np.abs(values.astype(np.float64) - target) <= tolerance * (scale or 1))  # NaN is off too
    if not off.any():
        return
    if target.size <= _FEW and target.ndim <= 1:
        wrong(f"{place}expected {describe(expected)}, got {describe(got)}", hint=hint)
    first = tuple(int(i) for i in np.argwhere(off)[0])
    index = ", ".join(map(str, first))
    wrong(f"{place}{off.sum():,} of {off.size:,} values are wrong, the first at [{index}]: "
          f"expected {target[first]:.6g}, got {values[first]:.6g}", hint=hint)


def between(got: Any, low: float, high: float, *, given: str = "", what: str = "", hint: str = "") -> float:
    """-> the number, if it lies in [low, high]."""
    place = (f"for {given} " if given else "") + (f"{what}: " if what else "")
    value = _numbers(got)
    if value is None or value.size != 1 or not low <= float(value.item()) <= high:
        wrong(f"{place}expected a number from {low:g} to {high:g}, got {describe(got)}", hint=hint)
    return float(value.item())


def describe(value: Any) -> str:
    """A value in a few words: small arrays in full, others by their shape."""
    if isinstance(value, np.ndarray):
        if 0 < value.size <= _FEW and value.ndim <= 1 and value.dtype.kind in "biuf":
            return np.array2string(value, precision=4, separator=", ").replace("\n", "")
        return f"an array of shape {value.shape}"
    if isinstance(value, bool | np.bool_ | str | int | np.integer):
        return _short(repr(value.item() if isinstance(value, np.generic) else value))
    if isinstance(value, float | np.floating):
        return f"{float(value):.6g}"
    if isinstance(value, tuple | list) and len(value) <= _FEW:
        inner = ", ".join(describe(part) for part in value)
        return _short(f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})")
    if callable(value):
        return f"the function {getattr(value, '__name__', type(value).__name__)}"
    return f"a {type(value).__name__}"


def given_as(arguments: tuple[Any, ...], named: Mapping[str, Any]) -> str:
    """The arguments of a call, as a message shows them."""
    parts = [describe(value) for value in arguments] + [f"{key}={describe(value)}" for key, value in named.items()]
    return ", ".join(parts) or "no argument"


def _numbers(value: Any) -> np.ndarray | None:
    """The value as an array of numbers, or None."""
    try:
        array = np.asarray(value)
    except Exception:  # a ragged list, a class with ideas of its own
        return None
    return array if array.dtype.kind in "biuf" else None


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


def _name(error: BaseException) -> str:
    text = str(error).strip().split("\n")[0]
    return _short(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _short(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:117]}..."
