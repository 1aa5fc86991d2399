"""Files and folders that are written whole or not at all, with the mode of what lies beside them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from trm_harness.errors import BadInput
from trm_harness.files.write import folder, replacing, write_bytes, write_text


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_a_new_file_has_the_mode_of_any_new_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "private") as temporary:
            # As a library does that writes through a private file of its own.
            temporary.unlink()
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
        write_text(tmp_path / "text", "x")
        with folder(tmp_path / "folder") as made:
            write_text(made / "text", "x")
        (tmp_path / "plain").touch()
        (tmp_path / "plain-folder").mkdir()
    finally:
        os.umask(before)
    files = [tmp_path / name for name in ("private", "text", "folder/text", "plain")]
    assert {mode(path) for path in files} == {0o666 & ~umask}
    assert mode(tmp_path / "folder") == mode(tmp_path / "plain-folder")


def test_a_replaced_file_keeps_its_mode_and_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    real.chmod(0o660)
    link.symlink_to(real)
    write_bytes(link, b"new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert mode(real) == 0o660
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_what_is_no_file_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, complaint in (("folder", "it is a folder"), ("pipe", "it is no ordinary file")):
        with pytest.raises(BadInput, match=complaint):
            write_text(tmp_path / name, "x")
    with pytest.raises(BadInput, match="it is no ordinary file"):
        write_text(Path(os.devnull), "x")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


@pytest.mark.parametrize("name", ["n" * 300, "zero\0byte", "no/such/file"])
def test_an_impossible_name_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="cannot be written"):
        write_text(tmp_path / name, "x")
    if "/" not in name:
        with pytest.raises(BadInput, match="cannot be written"), folder(tmp_path / name):
            pass
    assert not list(tmp_path.iterdir())


def test_a_name_as_long_as_a_file_system_takes_is_written(tmp_path: Path) -> None:
    for name in ("n" * 255, "\u00e4" * 127):
        assert write_text(tmp_path / name, "x").read_text() == "x"


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    file, place = tmp_path / "file", tmp_path / "a" / "b" / "folder"
    file.write_text("old")

    def half(path: Path) -> None:
        path.write_text("half")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"), replacing(file) as temporary:
        half(temporary)
    with pytest.raises(RuntimeError, match="stop"), folder(place) as made:
        half(made / "half")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert file.read_text() == "old"


def test_a_folder_appears_whole_under_its_name(tmp_path: Path) -> None:
    place = tmp_path / "above" / "shown"
    with folder(place, name="part/named") as made:
        assert made.parts[-2:] == ("part", "named")
        (made / "inside").mkdir()
        write_text(made / "inside" / "file", "x")
        assert not place.exists()
    assert (place / "inside" / "file").read_text() == "x"
    assert [path.name for path in place.parent.iterdir()] == ["shown"]


def test_a_folder_that_holds_something_stays_unless_it_may_go(tmp_path: Path) -> None:
    place = tmp_path / "there"
    place.mkdir()
    with folder(place) as made:
        (made / "first").touch()
    with pytest.raises(BadInput, match="is there already"), folder(place) as made:
        (made / "second").touch()
    assert [path.name for path in place.iterdir()] == ["first"]
    with folder(place, replace=True) as made:
        (made / "third").touch()
    assert [path.name for path in place.iterdir()] == ["third"]
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_nobody_renames_files_on_their_own() -> None:
    """One writer: no other file of the package or of a plugin replaces files or makes temporary ones for that."""
    root = Path(__file__).resolve().parents[1]
    allowed = {"files/write.py"}
    for path in [*root.glob("trm_harness/**/*.py"), *root.glob("plugins/**/*.py")]:
        text = path.read_text("utf-8")
        if "/".join(path.parts[-2:]) not in allowed:
            assert not any(word in text for word in ("os.replace(", "os.rename(", '.tmp"', "mkstemp")), path
