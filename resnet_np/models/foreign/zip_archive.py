"""Zip archives as PyTorch and NumPy write them: what they announce is held against the file before it is believed."""

import zipfile

import numpy as np

from resnet_np.errors import CheckpointError
from resnet_np.models.foreign.source import Source, damaged
from resnet_np.models.foreign.tensors import TENSOR_SLACK
from resnet_np.words import one_line

DIRECTORY_SLACK = 128 << 10  # bytes by which the directory may exceed a 16th of the file
LOCAL_HEADER = 30  # bytes before the name of a member
CHUNK = 1 << 20


def open_archive(source: Source) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
    """The archive and its members by name.

    Raises CheckpointError if members overlap, have the same name or hold more than the file explains.
    """
    limit, source.limit = source.limit, DIRECTORY_SLACK + source.size // 16  # zipfile makes 800 bytes of every entry of 46
    archive = zipfile.ZipFile(source)
    source.limit = limit
    members = {member.filename: member for member in archive.infolist()}
    if len(members) < len(archive.infolist()):
        raise damaged("two of its members have the same name")
    end = 0
    for member in sorted(members.values(), key=lambda member: member.header_offset):
        if member.header_offset < end:
            raise damaged(f"its member {one_line(member.filename, 60)} overlaps another")
        end = member.header_offset + LOCAL_HEADER + len(member.orig_filename) + member.compress_size
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise CheckpointError(f"its member {one_line(member.filename, 60)} is packed in an unusual way, expected it as it is")
    if end > source.size:
        raise damaged(f"its members take {end:,} bytes of its {source.size:,}")
    total = sum(member.file_size for member in members.values())
    if total > 2 * source.size + TENSOR_SLACK:
        raise CheckpointError(f"it announces {total:,} bytes of contents, too many for a file of {source.size:,}; if it is "
                              "compressed that well, save it again without: numpy.savez")
    return archive, members


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Its bytes: uint8 (n,), of its own memory. Its checksum is held against them."""
    content = np.empty(member.file_size, np.uint8)
    filled = 0
    with archive.open(member) as stream:
        while chunk := stream.read(CHUNK):
            content[filled:filled + len(chunk)] = np.frombuffer(chunk, np.uint8)
            filled += len(chunk)
    if filled < len(content):
        raise CheckpointError(f"its member {one_line(member.filename, 60)} ends after {filled:,} of {len(content):,} bytes")
    return content
