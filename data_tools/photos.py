"""Photos: a picture file of any size and mode -> the pixels that a net sees, and a small picture to show to people.

Read are the raster formats JPEG, PNG, WebP, GIF, BMP, TIFF, PPM and MPO, which Pillow decodes itself. Its other plugins
stay shut: some start programs (EPS), all of them are more code that hostile files could reach.
Colour profiles are not applied; torchvision, whose preprocessing this is, does not apply them either.
"""

import contextlib
import ctypes
import logging
import math
import mmap
import re
import stat
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from resnet_np.errors import DataError, InputError

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # Pillow's names; an MPO, two photos in one file, is a JPEG to it
SUFFIXES = frozenset(".jpg .jpeg .jpe .jfif .mpo .png .webp .gif .bmp .dib .tif .tiff .ppm .pgm .pbm .pnm".split())
SHOWN = 512  # pixels of the longer side of what is shown
MAX_FILE = 1 << 30  # bytes; Pillow's largest picture, of 89 million pixels, takes half of it with 16 bits a channel
MAX_SCANS = 100  # of a JPEG: each costs the decoding of a whole picture, and a few bytes; usual are 1 to 12
MAX_IMAGE_SIZE = 1024  # pixels; a net that sees more than 600 is rare
MIN_CROP = 0.1
MAX_RESIZED = 1 << 24  # pixels; only pictures hundreds of times as long as wide have more, a 1 x 65,000 one billions
_PIECE = 1 << 20  # pixels that are in float64 at a time
# Of a JPEG. Any other byte behind a 255, a restart within a scan say, neither begins nor ends a part of the file.
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")

BITS_PER_SAMPLE = 258  # TIFF's number of the tag
ORIENTATION = 0x0112  # EXIF's number of the tag; its values 2 to 8 are these transpositions, named as by Image.Transpose
TRANSPOSITIONS = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270",
                  7: "TRANSVERSE", 8: "ROTATE_90"}


@dataclass(frozen=True, eq=False)
class Photo:
    """One photo. It holds the decoded original: of many photos keep `pixels` and `shown`, not the Photo."""

    pixels: np.ndarray  # uint8 (3, S, S), red, green, blue: what the net sees
    size: tuple[int, int]  # width and height of the original, upright
    _upright: "Image.Image" = field(repr=False)

    @cached_property
    def shown(self) -> np.ndarray:
        """uint8 (height, width, 3): the whole photo, its longer side at most 512 pixels; made when it is asked for."""
        from PIL import Image

        scale = min(1, SHOWN / max(self.size))
        width, height = (max(1, round(scale * side)) for side in self.size)
        return np.array(self._upright.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0))


def read(path: str | Path, *, image_size: int, crop: float = 1.0) -> Photo:
    """Read a photo as torchvision's Resize(round(image_size / crop)) and CenterCrop(image_size) would present it.

    Of animations and multi-page files the first picture is read. Raises DataError, one line, for whatever is missing,
    cut short, damaged, hostile or no picture; InputError for an image_size or a crop that makes no sense.
    """
    check(image_size, crop)
    with quiet():
        upright = decode(Path(path))
    return Photo(fit(upright, image_size, crop), upright.size, upright)


def check(image_size: int, crop: float) -> None:
    """Raises InputError unless a net can see pictures of that size, and the crop is a share of the shorter side."""
    if not 1 <= image_size <= MAX_IMAGE_SIZE:
        raise InputError(f"image size: got {image_size}, expected a whole number from 1 to {MAX_IMAGE_SIZE:,}")
    if not MIN_CROP <= crop <= 1:
        raise InputError(f"crop: got {crop}, expected the share of the shorter side that is kept, {MIN_CROP} to 1")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No warning and no log line of Pillow reaches the terminal, nor what its libtiff, in C, would print by itself.

    All of it is the whole process's: enter it outside of the threads that decode.
    """
    from PIL import Image

    handler, logger = logging.NullHandler(), logging.getLogger("PIL")
    logger.addHandler(handler)  # a line that finds no handler at all is printed
    library = ctypes.CDLL(Image.core.__file__)
    before = {name: _set_handler(library, name, None) for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler")}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, value in before.items():
            _set_handler(library, name, value)
        logger.removeHandler(handler)


def _set_handler(library: ctypes.CDLL, name: str, value: int | None) -> int | None:
    """Set one of libtiff's two printing functions, None for silence; returns the one before."""
    function = getattr(library, name, None)  # looked up in the libraries that this one is linked with, too
    if function is None:  # a Pillow that hides its libtiff, or has none
        return None
    function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_void_p
    return function(value)


def decode(path: Path) -> "Image.Image":
    """The whole picture, upright, in mode RGB; to be called inside `quiet`. Raises DataError."""
    from PIL import Image, UnidentifiedImageError

    limit = Image.MAX_IMAGE_PIXELS
    with _open(path) as stream:
        try:
            picture = Image.open(stream, formats=FORMATS)  # reads the header only
            if limit and math.prod(picture.size) > limit:  # Pillow itself only warns, up to twice as many
                raise DataError(f"{named(path)}: has {picture.width:,} x {picture.height:,} pixels, expected at most {limit:,} "
                                "in all (Pillow's limit against decompression bombs); make it smaller")
            if picture.format in ("JPEG", "MPO") and _scans(stream) > MAX_SCANS:
                raise DataError(f"{named(path)}: goes over its picture more than {MAX_SCANS} times; such a file is made to keep "
                                "you waiting: save it again, or leave it out")
            # No draft mode, in which a JPEG is decoded at half the size or less: its pixels are not those of Resize.
            picture.load()
            return _rgb(_upright(picture))
        except DataError:
            raise
        except Image.DecompressionBombError:
            raise DataError(f"{named(path)}: has more than {2 * (limit or 0):,} pixels, expected at most {limit:,} (Pillow's "
                            "limit against decompression bombs); make it smaller") from None
        except UnidentifiedImageError:
            raise DataError(f"{named(path)}: is no picture that can be read; expected {', '.join(FORMATS[:-1])} or "
                            f"{FORMATS[-1]}; save it as JPEG or PNG, or get it again") from None
        except MemoryError:
            raise DataError(f"{named(path)}: needs more memory than there is; make it smaller, or get it again") from None
        except Exception:  # Pillow has a dozen kinds of error for damaged bytes
            raise DataError(f"{named(path)}: is cut short or damaged, or of a rare kind that cannot be decoded; get it again, "
                            "or save it as JPEG or PNG") from None


def _scans(stream: BinaryIO) -> int:
    """How many scans the first picture of a JPEG has, at most MAX_SCANS + 1; the stream stays where it is.

    What lies in a segment, a thumbnail say, or behind the picture, as the film of a phone's moving photo, does not count.
    """
    scans, place = 0, 2
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        while scans <= MAX_SCANS and (mark := _MARKER.search(content, place)):
            place, kind = mark.end(), content[mark.end() - 1]
            if kind == 0xD9:  # the end of the picture
                break
            scans += kind == 0xDA
            if kind != 0xD8:  # all others say how long they are
                place += int.from_bytes(content[place:place + 2], "big")
    return scans


def fit(picture: "Image.Image", image_size: int, crop: float) -> np.ndarray:
    """An RGB picture -> uint8 (3, S, S): the shorter side becomes S / crop, then the middle S x S is cut out."""
    from PIL import Image

    size, short = picture.size, round(image_size / crop)
    # As torchvision rounds: the longer side down, the edges of the cut to the nearest even.
    new = [short if side == min(size) else int(short * side / min(size)) for side in size]
    left, top = (round((side - image_size) / 2) for side in new)
    if math.prod(new) <= MAX_RESIZED:
        cut = picture.resize((new[0], new[1]), Image.Resampling.BILINEAR)
        cut = cut.crop((left, top, left + image_size, top + image_size))
    else:
        cut = _fit_long(picture, new, (left, top), image_size)
    return np.ascontiguousarray(np.asarray(cut).transpose(2, 0, 1))


def _fit_long(picture: "Image.Image", new: list[int], corner: tuple[int, int], image_size: int) -> "Image.Image":
    """The same cut without the millions of pixels that would be thrown away; rounded otherwise in a few places."""
    from PIL import Image

    starts, ends, box = [], [], []
    for side, resized, edge in zip(picture.size, new, corner, strict=True):
        scale = side / resized
        start, end = edge * scale, (edge + image_size) * scale
        reach = max(1, scale) + 1  # the filter looks that far over the edge
        starts.append(max(0, math.floor(start - reach)))
        ends.append(min(side, math.ceil(end + reach)))
        box.append((start - starts[-1], end - starts[-1]))
    # Cut roughly first: Pillow holds the box in float32, which is too coarse for the whole length.
    piece = picture.crop((starts[0], starts[1], ends[0], ends[1]))
    return piece.resize((image_size, image_size), Image.Resampling.BILINEAR, box=(box[0][0], box[1][0], box[0][1], box[1][1]))


def _open(path: Path) -> BinaryIO:
    name = named(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise DataError(f"{name}: is a folder, expected a picture; give a file in it")
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for somebody to write into it
            raise DataError(f"{name}: is a pipe or a device, expected a picture; give a file")
        if not status.st_size:
            raise DataError(f"{name}: is empty, expected a picture; get it again")
        if status.st_size > MAX_FILE:
            raise DataError(f"{name}: has {status.st_size:,} bytes, expected a picture of at most {MAX_FILE:,}; make it smaller")
        return path.open("rb")
    except FileNotFoundError:
        raise DataError(f"{name}: no such file; expected a picture, check the spelling") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{name}: cannot be read ({reason}); expected a picture, check its name and rights") from None


def named(path: Path) -> str:
    """The path, or where it would break the line or the terminal, its quoted form."""
    text = str(path)
    return text if text.isprintable() else repr(text)


def _upright(picture: "Image.Image") -> "Image.Image":
    """The picture as the camera was held, where its EXIF data says so. (Pillow turns TIFF itself.)"""
    from PIL import Image

    name = None
    with contextlib.suppress(Exception):  # the photo is sound even where its EXIF data is not
        name = TRANSPOSITIONS.get(picture.getexif().get(ORIENTATION, 1))
    return picture.transpose(Image.Transpose[name]) if name else picture


def _rgb(picture: "Image.Image") -> "Image.Image":
    """A new picture of mode RGB: deeper ones scaled to 8 bits, transparent ones laid on white paper."""
    from PIL import Image

    if picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PPM"):
        # Pillow would clip at 255. It spreads PPM's deeper levels over 16 bits, too, but leaves the 12 bits of a TIFF as they are.
        white = 4095 if getattr(picture, "tag_v2", {}).get(BITS_PER_SAMPLE) == (12,) else 65535
        levels = (np.arange(65536).clip(0, white) * 255 + white // 2) // white
        clear = picture.info.get("transparency")  # of a PNG: the level that is no part of the picture
        deep = np.asarray(picture)
        picture = Image.fromarray(levels.astype(np.uint8)[deep])
        if isinstance(clear, int):
            picture.putalpha(Image.fromarray(np.where(deep == clear, 0, 255).astype(np.uint8)))
    elif picture.mode in ("I", "F"):
        picture = Image.fromarray(_stretched(np.asarray(picture)))
    if picture.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert("RGB")


def _stretched(values: np.ndarray) -> np.ndarray:
    """Their own range becomes 0 to 255: 32-bit and floating point files do not say where their black and white lie."""
    finite = np.isfinite(values)
    some = values.flat[finite.argmax()] if finite.any() else values.dtype.type(0)
    low, high = float(values.min(where=finite, initial=some)), float(values.max(where=finite, initial=some))
    levels, flat = np.empty(values.size, np.uint8), values.ravel()
    for start in range(0, len(flat), _PIECE):
        shares = (flat[start:start + _PIECE].astype(np.float64) - low) / max(high - low, np.finfo(np.float64).tiny)
        levels[start:start + _PIECE] = np.rint(255 * np.nan_to_num(shares, nan=0).clip(0, 1))
    return levels.reshape(values.shape)
