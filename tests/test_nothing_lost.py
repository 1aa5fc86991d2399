"""What lies in a folder that a command writes into stays there; commands act on the checkout one stands in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.test_cli_eval import Call, call
from trm_harness.errors import BadInput
from trm_harness.files import paths
from trm_harness.leaderboard.site import MARK, stale, write_site
from trm_harness.train.session import prepare

__all__ = ["call"]

NANO = "trm-nano.sudoku-4x4"


def make_checkout(root: Path) -> Path:
    """The folders that tell a checkout of this project, empty."""
    for name in ("trm_harness", "plugins", "zoo", "leaderboards/records", "leaderboards/reported"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "pyproject.toml").touch()
    return root


def site(**files: str) -> dict[str, bytes]:
    pages = {name.replace("__", "/").replace("_html", ".html"): text.encode() for name, text in files.items()}
    return pages | {MARK: json.dumps({"files": sorted([*pages, MARK])}).encode()}


def files_in(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in found}


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A site with a repository, a page and a folder of the user's own in it."""
    out = tmp_path / "site"
    write_site(out, site(index_html="old", tasks__a_html="a"))
    for name in (".git/HEAD", "CNAME", "tasks/mine.html", "notes/index.html"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("mine")
    return out


def test_a_second_build_replaces_and_removes_its_own_files_only(built: Path) -> None:
    pages = site(index_html="new", tasks__b_html="b")
    assert stale(built, pages) == sorted(["index.html", "tasks/a.html", "tasks/b.html", MARK])
    write_site(built, pages)
    assert stale(built, pages) == []
    own = dict.fromkeys((".git/HEAD", "CNAME", "tasks/mine.html", "notes/index.html"), "mine")
    assert files_in(built) == own | {name: content.decode() for name, content in pages.items()}


@pytest.mark.parametrize("pages", [{"tasks__mine_html": "x"}, {"CNAME": "x"}, {"notes": "x"}])
def test_a_file_in_the_way_of_a_page_is_refused_before_anything_changes(built: Path, pages: dict[str, str]) -> None:
    before = files_in(built)
    with pytest.raises(BadInput, match="is in the way of a page"):
        write_site(built, site(index_html="new", **pages))
    assert files_in(built) == before


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "link/outside", ""])
def test_a_list_of_files_cannot_lead_out_of_the_folder(built: Path, name: str) -> None:
    outside = built.parent / "outside"
    outside.write_text("mine")
    (built / "link").symlink_to(built.parent)
    (built / MARK).write_text(json.dumps({"files": ["index.html", "tasks/a.html", name]}))
    with pytest.raises(BadInput, match="does not lie in that folder"):
        write_site(built, site(index_html="new"))
    assert outside.read_text() == "mine"
    assert (built / "index.html").read_text() == "old"


def test_a_site_of_a_version_that_listed_nothing_keeps_what_has_no_page(built: Path) -> None:
    (built / MARK).write_text('{"site":"trm-harness leaderboard"}')
    write_site(built, site(index_html="new"))
    assert (built / "index.html").read_text() == "new"
    assert (built / "CNAME").read_text() == "mine"


def test_a_symlinked_folder_is_written_into(built: Path) -> None:
    link = built.parent / "link"
    link.symlink_to(built)
    write_site(link, site(index_html="new"))
    assert link.is_symlink()
    assert (built / "index.html").read_text() == "new"


@pytest.mark.parametrize("name", ["weights.safetensors", "weights-best-raw.safetensors", "checkpoints", "train.json"])
def test_training_writes_over_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").touch()
    prepare(tmp_path)
    (tmp_path / name).touch()
    with pytest.raises(BadInput, match="another --out"):
        prepare(tmp_path)


def test_verbs_act_on_the_checkout_one_stands_in(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRM_HARNESS_ZOO")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    clone = make_checkout(tmp_path / "clone")
    inside = clone / "plugins" / "deep"
    inside.mkdir()
    said = call("eval", "--task", "sudoku-4x4", "--model", "random", "--limit", "2", "--out", "run")
    assert said.code == 0, said.err
    run = str(Path("run").resolve())

    said = call("leaderboard", "add", run)
    assert said.code == 0, said.err
    assert said.out.startswith(f"filed {tmp_path / 'data' / 'trm-harness' / 'leaderboards' / 'records'}/")
    assert paths.zoo_here() == tmp_path / "data" / "trm-harness" / "zoo"
    said = call("leaderboard", "check")
    assert said.err.splitlines() == [f"checked {tmp_path / 'data' / 'trm-harness' / 'leaderboards'}"]
    assert said.out.startswith("1 records")

    monkeypatch.chdir(inside)
    said = call("leaderboard", "check")
    assert said.err.splitlines()[0] == f"checked {clone / 'leaderboards'}"
    assert "0 records" in said.out
    said = call("leaderboard", "add", run)
    assert said.out.startswith(f"filed {clone / 'leaderboards' / 'records'}/")
    again = call("leaderboard", "add", run)
    assert (again.code, "is there already" in again.err) == (2, True)
    assert paths.zoo_here() == clone / "zoo"
    monkeypatch.setenv("TRM_HARNESS_ZOO", str(tmp_path / "own"))
    assert paths.zoo_here() == tmp_path / "own"


def test_replacing_a_card_keeps_what_is_no_part_of_it(call: Call, tmp_path: Path) -> None:
    weights = str(paths.zoo() / NANO / "weights.safetensors")
    own = tmp_path / "own"
    adding = ("zoo", "add", weights, "--task", "sudoku-4x4", "--name", "trm-nano.mine", "--golden", "0")
    said = call(*adding, "--zoo", str(own))
    assert said.code == 0, said.err
    assert str(own) in said.out
    (own / "trm-nano.mine" / "notes").mkdir()
    (own / "trm-nano.mine" / "notes" / "diary.md").write_text("mine")
    (own / "trm-nano.mine" / "golden.json").write_text("an old one")
    said = call(*adding, "--zoo", str(own), "--replace")
    assert said.code == 0, said.err
    assert (own / "trm-nano.mine" / "notes" / "diary.md").read_text() == "mine"
    assert not (own / "trm-nano.mine" / "golden.json").exists()
    shutil.rmtree(own)
    said = call(*adding[:-3], "../outside", "--zoo", str(own))
    assert (said.code, "is no name for a card's folder" in said.err) == (2, True)
