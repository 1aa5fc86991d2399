"""Damage for the fuzz tests: bytes, JSON, TOML and CSV that begin valid and then are not quite.

``TRM_HARNESS_FUZZ=2000`` tries so many examples of each loader, different ones every time; without it a few of them,
always the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from trm_harness.errors import HarnessError

DEEP = int(os.environ.get("TRM_HARNESS_FUZZ", "0"))
budget = settings(
    max_examples=DEEP or 30,
    derandomize=not DEEP,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

RAW = {"@HUGE@": "9" * 5000, "@DEEP@": "[" * 20_000 + "]" * 20_000, "@BIG@": "1" + "0" * 400}
"""Words that stand for text which Python's own writers refuse to write."""

NUMBERS = st.sampled_from([-1, 0, 1, 2, 7, 255, 256, 2**31, 2**63, 2**64, 10**30, 1e308, -0.0, 1e-320, 0.5, 1.5])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    NUMBERS,
    st.floats(),
    st.sampled_from([*RAW, "", "=", "a/b", "0/00", "\ud800", "\x00", "\x1b[2J", "nan", "../../etc", "9" * 200]),
    st.text(max_size=8),
)
JUNK = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def tame(load: Callable[[], Any]) -> bool:
    """Whether ``load`` worked; whatever it raises but the harness' own errors goes through."""
    with suppress(HarnessError):
        load()
        return True
    return False


def write(path: Path, content: bytes | str) -> Path:
    """``path`` with that content, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return path


def dumped(value: Any) -> str:
    """JSON text of damaged data, with the words of :data:`RAW` replaced."""
    text = json.dumps(value)
    for word, raw in RAW.items():
        text = text.replace(f'"{word}"', raw)
    return text


@st.composite
def damaged_bytes(draw: st.DrawFn, valid: bytes) -> bytes:
    """Some bytes flipped, cut out, doubled or put in."""
    content = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        until = min(len(content), at + draw(st.integers(1, 40)))
        kind = draw(st.sampled_from(["flip", "cut", "double", "insert", "end"]))
        if kind == "flip" and content:
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del content[at:until]
        elif kind == "double":
            content[at:at] = content[at:until]
        elif kind == "insert":
            content[at:at] = draw(
                st.binary(max_size=8) | st.sampled_from([b"\0", b"\n", b'"', b"[", b"{", b",", b"\xff"])
            )
        else:
            del content[at:]
    return bytes(content)


@st.composite
def damaged_data(draw: st.DrawFn, valid: Any) -> Any:
    """Plain data with some values replaced, dropped, or added."""
    data = json.loads(json.dumps(valid))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(data))
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        kind = draw(st.sampled_from(["replace", "replace", "replace", "drop", "add"]))
        if kind == "replace":
            holder[key] = draw(_alike(holder[key]) | JUNK)
        elif kind == "drop":
            del holder[key]
        elif isinstance(holder, dict):
            holder[draw(st.text(max_size=6))] = draw(JUNK)
        else:
            holder.insert(key, draw(JUNK))
        if not list(_places(data)):
            break
    return data


def _alike(value: Any) -> st.SearchStrategy[Any]:
    """Other values of the same kind, which get past the first check."""
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int | float):
        return NUMBERS
    if isinstance(value, str):
        return st.sampled_from(["", "\x1b[2J", "a/b", "9" * 50, "training", "oracle"]) | st.text(max_size=5)
    return st.just([] if isinstance(value, list) else {} if isinstance(value, dict) else None)


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of everything inside."""
    for key in list(data) if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ():
        yield data, key
        yield from _places(data[key])


@st.composite
def damaged_json(draw: st.DrawFn, valid: Any) -> bytes:
    """A JSON file: damaged in its data, in its bytes, or another altogether."""
    if draw(st.booleans()):
        return dumped(draw(damaged_data(valid))).encode("utf-8", "surrogatepass")
    return draw(
        damaged_bytes(json.dumps(valid).encode()) | st.binary(max_size=60) | JUNK.map(lambda v: dumped(v).encode())
    )


TOML_VALUES = st.sampled_from(
    [
        "1",
        "-1",
        "0",
        "nan",
        "inf",
        "1e999",
        "true",
        '""',
        '"x"',
        "[]",
        "{}",
        "[[1]]",
        "{ a = 1 }",
        "1979-05-27",
        "07:32:00",
    ]
    + [
        "9" * 5000,
        "[" * 5000 + "]" * 5000,
        "0x" + "f" * 40,
        '"\\u0000"',
        '"' + "a" * 3000 + '"',
        "'''",
        "[1, [2, [3]]]",
    ]
)


@st.composite
def damaged_toml(draw: st.DrawFn, valid: str) -> bytes:
    """A TOML file: damaged in some of its lines, in its bytes, or another altogether."""
    if draw(st.integers(0, 3)) == 0:
        return draw(damaged_bytes(valid.encode()) | st.binary(max_size=60))
    lines = valid.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        key = lines[at].partition("=")[0].strip() or "x"
        spoiled = st.one_of(
            TOML_VALUES.map(lambda value, key=key: f"{key} = {value}"),
            st.just(""),
            st.just("[training.data]"),
            st.just("[[stage]]"),
            st.just("a." * draw(st.integers(1, 3000)) + "a = 1"),
            st.text(max_size=12),
        )
        lines[at] = draw(spoiled)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


@st.composite
def damaged_csv(draw: st.DrawFn, valid: str) -> bytes:
    """A CSV file: damaged in some of its cells, in its bytes, or another altogether."""
    if draw(st.booleans()):
        return draw(damaged_bytes(valid.encode()) | st.binary(max_size=60))
    rows = [line.split(",") for line in valid.splitlines()]
    cells = st.sampled_from(
        [
            "",
            "-1",
            "nan",
            "inf",
            "1e999",
            "9" * 5000,
            '"',
            '"a\nb"',
            "é",
            "\x00",
            "x" * 140_000,
            "=1+1",
            "0.5",
            "\r",
            "a,b",
        ]
    )
    for _ in range(draw(st.integers(1, 3))):
        row = rows[draw(st.integers(0, len(rows) - 1))]
        row[draw(st.integers(0, len(row) - 1))] = draw(cells | st.text(max_size=6))
    return "\n".join(",".join(row) for row in rows).encode("utf-8", "surrogatepass")
