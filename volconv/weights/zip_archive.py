"""Zip archives, read by position: directory, stored and deflated members, checksums; nothing is trusted.

`zipfile` is not used because it resolves duplicate names in silence, believes declared sizes and raises a dozen
kinds of exceptions on damaged input. Format: PKWARE APPNOTE 6.3.10.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NoReturn

from ..errors import WeightsError, show
from .weight_file import WeightFile

MAX_DIRECTORY = 1 << 23
"""Bytes of directory at most: room for tens of thousands of members."""

MAX_RATIO = 1032
"""Deflate cannot do better (RFC 1951: 258 bytes from two bits)."""

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")


@dataclass(frozen=True)
class Member:
    """One member: where its bytes lie, how many, and what they must come to."""

    name: str
    start: int
    packed: int
    size: int
    crc: int
    deflated: bool


def is_zip(file: WeightFile) -> bool:
    """Whether the file begins like a zip archive."""
    return file.head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def read_members(file: WeightFile) -> dict[str, Member]:
    """Return the members by name.

    Raises
    ------
    WeightsError
        If the archive is cut short, encrypted, split, packed by another method than deflate, has two members of one
        name, or members that overlap.
    """
    count, size, start = _find_directory(file)
    if size > min(MAX_DIRECTORY, file.size):
        _fail(file, f"a directory of {size} bytes", f"at most {MAX_DIRECTORY}, all there")
    directory = file.read_at(start, size)
    members: dict[str, Member] = {}
    spans: list[tuple[int, int, str]] = []
    at = 0
    for _ in range(count):
        if at + _ENTRY.size > size:
            _fail(file, f"{len(members)} members", f"{count}, as the end record says")
        entry = _ENTRY.unpack_from(directory, at)
        lengths = entry[10:13]
        stop = at + _ENTRY.size + sum(lengths)
        begin, member = _read_entry(file, entry, directory[at + _ENTRY.size : stop], start)
        if member.name in members:
            _fail(file, f"two members named {show(member.name)}", "one")
        members[member.name] = member
        spans.append((begin, member.start + member.packed, member.name))
        at = stop
    if at != size:
        _fail(file, f"{size - at} stray bytes in the directory", "none")
    spans.sort()
    for (_, stop, _), (begin, _, name) in pairwise(spans):
        if begin < stop:
            _fail(file, f"{show(name)} inside another member", "members side by side")
    return members


def _find_directory(file: WeightFile) -> tuple[int, int, int]:
    """Return the number of members, and the size and position of the directory."""
    tail_start = max(0, file.size - _END.size - 65535)
    tail = file.read_at(tail_start, file.size - tail_start)
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0 and at + _END.size + int.from_bytes(tail[at + 20 : at + 22], "little") != len(tail):
        at = tail.rfind(b"PK\x05\x06", 0, at)
    if at < 0:
        _fail(file, "no end record", "one at the end: the file is cut short or damaged")
    _, disk, first_disk, here, count, size, start, _ = _END.unpack_from(tail, at)
    end = tail_start + at
    if file.read_at(max(0, end - _LOCATOR64.size), 4) == b"PK\x06\x07":
        # PyTorch writes the 64-bit record always, not only where a number does not fit the other.
        narrow = (disk, first_disk, here, count, size, start)
        *wide, end = _read_end64(file, end)
        if any(n not in (w, 0xFFFF, 0xFFFFFFFF) for n, w in zip(narrow, wide, strict=True)):
            _fail(file, "two end records that differ", "equal ones")
        disk, first_disk, here, count, size, start = wide
    if disk or first_disk or here != count:
        _fail(file, "a split archive", "one in a single file")
    if start + size != end:
        _fail(file, f"a directory of {size} bytes at {start}", f"one that ends at {end}")
    return count, size, start


def _read_end64(file: WeightFile, end: int) -> tuple[int, ...]:
    _, _, position, _ = _LOCATOR64.unpack(file.read_at(end - _LOCATOR64.size, _LOCATOR64.size))
    record = _END64.unpack(file.read_at(position, _END64.size))
    if record[0] != b"PK\x06\x06":
        _fail(file, "no zip64 end record", "one where the locator points")
    return (*record[4:10], position)


def _read_entry(file: WeightFile, entry: tuple[Any, ...], rest: bytes, limit: int) -> tuple[int, Member]:
    """Return where the member begins, its local header included, and the member."""
    magic, _, _, flags, method, _, _, crc, packed, size, name_length, extra_length, _, _, _, _, begin = entry
    raw_name = rest[:name_length]
    name = raw_name.decode("utf-8" if flags & 0x800 else "cp437", "replace")
    if magic != b"PK\x01\x02":
        _fail(file, "no directory entry", "one for every member")
    if flags & 0x41:
        _fail(file, f"{show(name)} encrypted", "a plain archive")
    if method not in (0, 8):
        _fail(file, f"{show(name)} packed by method {method}", "stored or deflated")
    extra = rest[name_length : name_length + extra_length]
    size, packed, begin = _widen(file, extra, size, packed, begin)
    local = _LOCAL.unpack(file.read_at(begin, _LOCAL.size))
    if local[0] != b"PK\x03\x04" or file.read_at(begin + _LOCAL.size, local[9]) != raw_name:
        _fail(file, f"another header than that of {show(name)} at {begin}", "directory and members that agree")
    start = begin + _LOCAL.size + local[9] + local[10]
    if start + packed > limit:
        _fail(file, f"{show(name)} of {packed} bytes at {start}", f"members that end before the directory at {limit}")
    if (method == 0 and size != packed) or size > packed * MAX_RATIO:
        _fail(file, f"{show(name)} of {size} bytes in {packed}", "a size that its packing allows")
    return begin, Member(name, start, packed, size, crc, method == 8)


def _widen(file: WeightFile, extra: bytes, *fields: int) -> tuple[int, int, int]:
    """Return size, packed size and position, those that are all ones taken from the zip64 extra field."""
    wide, at = b"", 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            wide = extra[at + 4 : at + 4 + length]
        at += 4 + length
    out = []
    for field in fields:
        if field == 0xFFFFFFFF:
            if len(wide) < 8:
                _fail(file, "no zip64 size", "one in the extra field")
            field, wide = int.from_bytes(wide[:8], "little"), wide[8:]
        out.append(field)
    return out[0], out[1], out[2]


def read_member(file: WeightFile, member: Member, block_bytes: int = 1 << 18) -> Iterator[bytes]:
    """Yield the member's bytes, unpacked, in blocks of at most `block_bytes`.

    Size and checksum are verified when the last block has been taken.

    Raises
    ------
    WeightsError
        If the bytes do not unpack, or to another size or checksum.
    """
    crc = done = 0
    for block in _unpack(file, member, block_bytes):
        done += len(block)
        crc = zlib.crc32(block, crc)
        if done > member.size:
            break
        yield block
    if done != member.size or crc != member.crc:
        fault = "another checksum" if done == member.size else "another size"
        _fail(file, f"{show(member.name)} of {fault}", "what the directory says: the file is damaged")


def _unpack(file: WeightFile, member: Member, block_bytes: int) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(-15)
    for at in range(0, member.packed, block_bytes):
        block = file.read_at(member.start + at, min(block_bytes, member.packed - at))
        if not member.deflated:
            yield block
            continue
        while block and not unpacker.eof:
            try:
                out = unpacker.decompress(block, block_bytes)
            except zlib.error as error:
                raise WeightsError(
                    f"zip archive: {show(member.name)} does not unpack: the file is damaged",
                    code="weights.zip",
                    file=file.name,
                ) from error
            block = unpacker.unconsumed_tail
            if out:
                yield out
    if member.deflated and not unpacker.eof:
        yield unpacker.flush()


def _fail(file: WeightFile, found: str, expected: str) -> NoReturn:
    raise WeightsError(f"zip archive: found {found}, expected {expected}", code="weights.zip", file=file.name)
