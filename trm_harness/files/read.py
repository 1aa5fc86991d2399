"""Reading files that somebody else wrote: never more than a stated size, and one kind of error for whatever is wrong.

Every loader of task files, records, cards, recipes, tables and array bundles reads through here. ``SECURITY.md`` says
what a file may do; ``tests/test_fuzz.py`` tries to make one do more.
"""

from __future__ import annotations

import csv
import io
import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from zipfile import BadZipFile

from trm_harness.errors import BadInput

if TYPE_CHECKING:
    from zipfile import ZipFile

    from numpy.typing import NDArray

MIB = 1 << 20
JSON_LIMIT = 16 * MIB
TABLE_LIMIT = 128 * MIB
TOML_LIMIT = MIB // 16
LINE_LIMIT = 16 * MIB
XZ_MEMORY = 128 * MIB
"""Most bytes of a file, or of one line of a file that is read line by line. Real ones are far smaller."""

_MARK = b"\xef\xbb\xbf"
"""What editors and spreadsheets of Windows put before UTF-8 text."""

_ZIP = b"PK\x03\x04"

_NO_WEIGHTS = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself: fetch it with `git lfs pull`"),
    (b"<!doctype", "is a web page, not the file itself: download the file (on a hub its address has /resolve/)"),
    (b"<html", "is a web page, not the file itself: download the file (on a hub its address has /resolve/)"),
    (b"<?xml", "is a server's message, not the file itself: download the file again"),
    (b'{"error', "is a server's message, not the file itself: download the file again"),
    (b"entry not found", "is a server's message, not the file itself: check the address"),
    (b"\x1f\x8b", "is packed (gzip): unpack it"),
    (b"gguf", "is a GGUF file: no model here reads it"),
)
"""How files begin that people take for weights, and what they are."""

_BROKEN_ARRAYS = (OSError, EOFError, ValueError, TypeError, LookupError, NotImplementedError, RuntimeError, MemoryError)
_BROKEN_ARRAYS += (SyntaxError, BadZipFile, zlib.error, struct.error)
_KEY_PARTS = 100
_TOML_TOKENS = "|".join(
    (
        r'"{3}(?:\\.|[^\\])*?"{3,5}',
        r"'{3}.*?'{3,5}",
        r'"(?:\\.|[^"\\\n])*"',
        r"'[^'\n]*'",
        r"#[^\n]*",
        r"""[^\s.=,{}\[\]#"']+""",
        r"""[.=,{}\[\]"'\n]""",
    )
)
"""Strings, comments, words, and single characters that end a key. A quote by itself opens a string without an end."""


def read_text(path: Path, most: int, what: str, encoding: str = "utf-8") -> str:
    """The text of a file of at most ``most`` bytes, without a UTF-8 mark; ``BadInput`` says why it cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise BadInput(f"{path}: is too large for {what}: at most {most // MIB or most} {_unit(most)} are read")
        return data.removeprefix(_MARK).decode(encoding)
    except OSError as error:
        raise BadInput(f"{path}: {what} cannot be read ({error.strerror or error}): check the path") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: {what} cannot be read ({error}): it must be {encoding} text") from None


def parse_json(text: str | bytes, where: str, unique: bool = False) -> Any:
    """JSON as plain data; ``BadInput`` for anything else, numbers of thousands of digits and endless nesting too.

    With ``unique`` an object that has a name twice is refused, instead of losing all but the last.
    """

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise BadInput(f"{where} names {twice[:80]!r} twice: rename or remove one")
        return found

    try:
        return json.loads(text, object_pairs_hook=distinct if unique else None)
    except json.JSONDecodeError as error:
        raise BadInput(f"{where} is broken JSON (line {error.lineno}: {error.msg})") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise BadInput(f"{where} is broken JSON ({_short(error)})") from None


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in ``file``; ``BadInput`` if it is missing, unreadable, too large or something else."""
    if not file.exists():
        raise BadInput(f"{file} does not exist")
    data = parse_json(read_text(file, JSON_LIMIT, "a JSON file"), str(file))
    if not isinstance(data, dict):
        raise BadInput(f"{file} does not hold a JSON object")
    return data


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The table in a TOML file; ``BadInput`` says why ``what`` is none."""
    import tomllib

    text = read_text(path, TOML_LIMIT, what)
    # The parser takes time with the square of a dotted key's length. A key ends with its line, few have so many dots.
    crowded = any(line.count(".") >= _KEY_PARTS for line in text.split("\n"))
    if crowded and _longest_key(text) > _KEY_PARTS:
        raise BadInput(f"{path}: {what} has a key of more than {_KEY_PARTS} parts: mend it")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits are plain ValueErrors
        raise BadInput(f"{path}: is not TOML ({_short(error)}): mend {what}") from None


def numbered_csv(text: str, where: str) -> list[tuple[int, list[str]]]:
    """The rows of a CSV text with the lines they end on, without empty lines.

    Cells are apart by commas, or by the semicolons or tabs that spreadsheets write in some countries: whichever the
    first line has most of. ``BadInput`` for a text that the reader gives up on.
    """
    first = text.lstrip().partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
    try:
        return [(reader.line_num, row) for row in reader if row and (len(row) > 1 or row[0].strip())]
    except csv.Error as error:
        raise BadInput(f"{where}, line {reader.line_num} cannot be read as CSV ({error}): correct it") from None


def lines(file: BinaryIO, path: Path) -> Iterator[tuple[int, bytes]]:
    """Numbered lines of an open file, line breaks included; ``BadInput`` for one that is longer than any real one."""
    number = 0
    while line := file.readline(LINE_LIMIT + 1):
        number += 1
        if len(line) > LINE_LIMIT:
            raise BadInput(f"{path} is damaged at line {number}: it is longer than {LINE_LIMIT // MIB} MiB")
        yield number, line


def line_blocks(file: BinaryIO, path: Path, size: int) -> Iterator[tuple[int, list[bytes], bool]]:
    """What :func:`lines` gives, as many at once as ``size`` bytes hold: the number of the first, and the lines.

    Line breaks are left out; a last line that has none comes alone, with ``False`` behind it.
    """
    number, rest = 1, b""
    while data := file.read(size):
        *found, rest = (rest + data).split(b"\n")
        if max(map(len, (*found, rest))) > LINE_LIMIT:
            raise BadInput(f"{path} is damaged near line {number}: one is longer than {LINE_LIMIT // MIB} MiB")
        if found:
            yield number, found, True
            number += len(found)
    if rest:
        yield number, [rest], False


class _Unpacking(io.RawIOBase):
    """The content of an ``.xz`` stream, unpacked as it is read: a header may ask for a window of gigabytes."""

    def __init__(self, file: BinaryIO) -> None:
        import lzma

        self._file, self._engine = file, lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` with some of what is left; ``EOFError`` for a stream that was cut."""
        found = b""
        while not found and not self._engine.eof:
            packed = self._file.read(1 << 16) if self._engine.needs_input else b""
            if self._engine.needs_input and not packed:
                raise EOFError("it is cut short")
            found = self._engine.decompress(packed, len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:
        """Close the file too."""
        self._file.close()
        super().close()


@contextmanager
def open_either(plain: Path, packed: Path) -> Iterator[BinaryIO]:
    """``plain``, or where only ``packed`` (``.xz``) is there, that, unpacked as it is read.

    ``BadInput`` if neither can be read, and while it is read if the packed file is damaged or cut short.
    """
    import lzma

    archived = not plain.exists() and packed.exists()
    try:
        file = open_xz(packed) if archived else plain.open("rb", buffering=1 << 20)
    except OSError as error:
        raise BadInput(f"{packed if archived else plain} cannot be read: {error.strerror or error}") from None
    with file:
        try:
            yield file
        except (EOFError, lzma.LZMAError) as error:
            raise BadInput(f"{packed} is damaged: {error}") from None


def open_xz(path: Path) -> BinaryIO:
    """An ``.xz`` file, to be read unpacked in bounded memory. Errors are those of ``lzma``, ``EOFError`` if cut."""
    return io.BufferedReader(_Unpacking(path.open("rb")), 1 << 20)


def read_arrays(path: Path, wanted: Mapping[str, tuple[str, int]], most: int) -> dict[str, NDArray[Any]]:
    """Named arrays of an ``.npz`` file: ``wanted`` says the dtype and number of dimensions of each.

    Nothing is unpacked before its declared size is known to be within ``most`` bytes in all and to be what its own
    header says, so neither a bomb of zeros nor a huge shape takes memory. Never unpickles. ``BadInput`` else.
    """
    from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

    try:
        with ZipFile(path) as bundle:
            members = [bundle.getinfo(f"{name}.npy") for name in wanted]
            # Others may set aside gigabytes before the first byte.
            if not {member.compress_type for member in members} <= {ZIP_STORED, ZIP_DEFLATED}:
                raise NotImplementedError("a compression other than deflate")
            size = sum(member.file_size for member in members)
            if size > most:
                raise BadInput(f"{path}: its arrays take {size:,} bytes, at most {most:,} are read")
            return {name: _array(bundle, f"{name}.npy", *kind) for name, kind in wanted.items()}
    # NotImplementedError: a compression that is not read; RuntimeError: a password, or endless nesting in a header.
    except _BROKEN_ARRAYS as error:
        raise BadInput(f"{path}: cannot be read as arrays ({_short(error)}): get the file again") from None


def _array(bundle: ZipFile, member: str, dtype: str, dimensions: int) -> NDArray[Any]:
    """One array, whose header must fit its bytes. ``ValueError`` else."""
    import numpy as np
    from numpy.lib import format as npy

    data = bundle.read(member)
    stream = io.BytesIO(data)
    if npy.read_magic(stream) != (1, 0):
        raise ValueError(f"{member} is of a version that is not read")
    shape, fortran, found = npy.read_array_header_1_0(stream)
    count = 1
    for side in shape:
        count *= side
    if found != np.dtype(dtype) or len(shape) != dimensions or fortran or min(shape, default=0) < 0:
        raise ValueError(f"{member} is {found} of shape {shape}, not {dtype} in {dimensions} dimensions")
    if count * found.itemsize != len(data) - stream.tell():
        raise ValueError(f"{member} does not hold what its header says")
    return np.frombuffer(data, found, offset=stream.tell()).reshape(shape)


def taken_for_weights(path: Path) -> str:
    """What a file that should hold tensors is instead and what to do, in a few words; empty if it may hold some."""
    start = _beginning(path)
    text = start.removeprefix(_MARK).lstrip().lower()
    for begins, told in _NO_WEIGHTS:
        if text.startswith(begins):
            return told
    return "holds arrays of numpy (.npz): only a model whose spec reads .npz takes it" if _is_npz(start) else ""


def is_pickled(path: Path) -> bool:
    """Whether a file begins as what ``torch.save`` writes: a zip file, or a bare pickle."""
    start = _beginning(path)
    return (start[:4] == _ZIP and not _is_npz(start)) or (start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05")


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do: the length of a header, and a header."""
    start = _beginning(path)
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= path.stat().st_size - 8


def _is_npz(start: bytes) -> bool:
    """Whether a file begins as what ``numpy.savez`` writes: a zip file whose first member is an array."""
    name = start[30 : 30 + int.from_bytes(start[26:28], "little")]
    return start[:4] == _ZIP and name.endswith(b".npy")


def _beginning(path: Path) -> bytes:
    """Up to 512 bytes that tell what a file is; none of one that cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(512)
    except OSError:
        return b""


def _longest_key(text: str) -> int:
    """Dots of the longest dotted key, in linear time, as far as a parser comes; a number may pass for a short key."""
    longest = run = 0
    before = ""
    for found in re.finditer(_TOML_TOKENS, text, re.DOTALL):
        token = found[0]
        if token in ("'", '"'):
            break
        # Two words without a dot between them end a key, and so does all punctuation.
        run = run + 1 if token == "." else run if before == "." else 0
        longest, before = max(longest, run), token
    return longest


def _short(error: BaseException) -> str:
    """The first of an error's words: they may quote the file."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 120 else f"{text[:117]}..."


def _unit(most: int) -> str:
    return "MiB" if most >= MIB else "bytes"
