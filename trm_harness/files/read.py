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

_BROKEN_ARRAYS = (OSError, EOFError, ValueError, TypeError, LookupError, NotImplementedError, RuntimeError, MemoryError)
_BROKEN_ARRAYS += (SyntaxError, BadZipFile, zlib.error, struct.error)
_KEY_PARTS = 100
_KEY_TOKENS = re.compile(r"[^\s.=,{}\[\]#]+|\.|[=,{}\[\]#\n]")


def read_text(path: Path, most: int, what: str, encoding: str = "utf-8") -> str:
    """The text of a file of at most ``most`` bytes; ``BadInput`` says why ``what`` cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise BadInput(f"{path}: is too large for {what}: at most {most // MIB or most} {_unit(most)} are read")
        return data.decode(encoding)
    except OSError as error:
        raise BadInput(f"{path}: {what} cannot be read ({error.strerror or error}): check the path") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: {what} cannot be read ({error}): it must be {encoding} text") from None


def parse_json(text: str | bytes, where: str) -> Any:
    """JSON as plain data; ``BadInput`` for anything else, numbers of thousands of digits and endless nesting too."""
    try:
        return json.loads(text)
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
    # The parser takes time with the square of a dotted key's length.
    if _longest_key(text) > _KEY_PARTS:
        raise BadInput(f"{path}: {what} has a key of more than {_KEY_PARTS} parts: mend it")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits are plain ValueErrors
        raise BadInput(f"{path}: is not TOML ({_short(error)}): mend {what}") from None


def csv_rows(text: str, where: str) -> list[list[str]]:
    """The rows of a CSV text; ``BadInput`` for one that the reader gives up on."""
    try:
        return list(csv.reader(io.StringIO(text)))
    except csv.Error as error:
        raise BadInput(f"{where} cannot be read as CSV ({error}): correct it") from None


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


def _longest_key(text: str) -> int:
    """Parts of the longest dotted key, roughly and in linear time: prose and numbers may pass for short ones."""
    longest = run = 0
    before = ""
    for token in _KEY_TOKENS.findall(text):
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
