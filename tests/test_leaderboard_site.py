"""The static site: complete, self-contained, the same bytes each time; whatever a record says stays text."""

from __future__ import annotations

import csv
import hashlib
import html.parser
import io
import json
import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_cli_eval import Call, call
from trm_harness import paths
from trm_harness.cli.board import made_site
from trm_harness.leaderboard import archive, views
from trm_harness.leaderboard.site import LARGEST, Site
from trm_harness.record import write

__all__ = ["call"]

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"' {{ 7 * 7 }} \u202eltr\u202c " + "x" * 3000
NANO = "sudoku-4x4/trm-nano.sudoku-4x4/5c0e2006/20261123-210156-sudoku-4x4-trm-nano.sudoku-4x4"


@pytest.fixture(scope="module")
def site() -> Site:
    return made_site(paths.leaderboards())


@pytest.fixture(scope="module")
def pages(site: Site) -> dict[str, bytes]:
    return site.pages()


class Page(html.parser.HTMLParser):
    """Links, sources, ids and tags of a page, and its balance."""

    VOID = ("meta", "link", "input", "br", "img")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.sources: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.links += [found["href"]] if tag == "a" and found.get("href") else []
        self.sources += [value for name in ("src", "href") if tag != "a" and (value := found.get(name))]
        self.ids += [found["id"]] if found.get("id") else []
        assert not any(name.startswith("on") for name in found), found
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def html_pages(pages: dict[str, bytes]) -> dict[str, Page]:
    return {name: Page(content.decode()) for name, content in pages.items() if name.endswith(".html")}


def test_same_inputs_same_bytes(site: Site, pages: dict[str, bytes]) -> None:
    again = made_site(paths.leaderboards())
    assert again.pages() == pages
    assert sum(map(len, pages.values())) < LARGEST == 2_000_000


def test_the_built_board_of_the_repository_is_current(call: Call) -> None:
    said = call("leaderboard", "build", "--out", str(ROOT / "board"), "--check")
    assert said.code == 0, said.err
    said = call("leaderboard", "build", "--format", "md", "--out", str(paths.leaderboards() / "README.md"), "--check")
    assert said.code == 0, said.err


def test_every_task_model_and_record_has_its_page(site: Site, pages: dict[str, bytes]) -> None:
    for task in ("arc1", "arc2", "sudoku-extreme", "maze-hard", "sudoku-4x4", "sudoku-9x9", "maze-8x8"):
        assert {f"tasks/{task}.html", f"data/{task}.csv", f"data/{task}.json"} <= pages.keys()
    for filed in site.filed:
        assert f"records/{filed.place}.html" in pages
        assert f"models/{views.slug(views.model_name(filed.record))}.html" in pages
    shown = json.loads(pages["data/records.json"])
    assert {record["place"] for record in shown} == {filed.place for filed in site.filed}
    assert len(list(csv.DictReader(io.StringIO(pages["data/claims.csv"].decode())))) == 315


def test_every_link_leads_somewhere_and_nothing_is_fetched(pages: dict[str, bytes]) -> None:
    found = html_pages(pages)
    for name, page in found.items():
        here = Path("/", name)
        for source in page.sources:
            assert source.startswith("data:,") or _inside(here, source) in pages, (name, source)
        for link in page.links:
            if re.match(r"https://(arxiv\.org|github\.com)/", link):
                continue
            target, _, fragment = link.partition("#")
            to = _inside(here, target) if target else name
            assert to in pages, (name, link)
            if fragment and to.endswith(".html"):
                assert fragment in found[to].ids, (name, link)
        assert len(set(page.ids)) == len(page.ids), name
        assert not page.open, name
    assert not re.search(rb"@import|url\(", pages["assets/board.css"])


def _inside(here: Path, link: str) -> str:
    parts: list[str] = []
    for part in (here.parent / link).parts[1:]:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def test_public_and_semi_private_never_share_a_column(pages: dict[str, bytes]) -> None:
    text = pages["tasks/arc1.html"].decode()
    row = re.search(r'<tr id="[^"]+"[^>]*>(?:(?!</tr>).)*TRM \(ARC Prize verified\).*?</tr>', text, re.DOTALL)[0]
    cells = re.findall(r'data-h="(public|semi-private)" data-v="([\d.]+)"', row)
    assert cells == [("public", "44.0"), ("semi-private", "40.0")]
    told = json.loads(re.search(r'id="charts-data">(.*?)</script>', text)[1])
    assert told["columns"] == ["public", "semi-private"]
    assert "pass@100 and pass@1000 are oracles" in text


def test_a_record_page_says_what_it_rests_on(pages: dict[str, bytes]) -> None:
    text = pages[f"records/{NANO}.html"].decode()
    for part in (
        "trm-harness eval --task sudoku-4x4 --model trm-nano.sudoku-4x4",
        "499 of 500 puzzles",
        "98.88 to 99.96",
        "1,486 puzzles",
        "clean: 500 puzzles compared",
        "inductive",
        "5c0e20068166f1ea5eb48325b1be4baf6d4eb6cfc607bdb9e2cfc75edee102a3",
    ):
        assert part in text, part


def test_language_models_are_said_to_be_where_they_are(pages: dict[str, bytes]) -> None:
    for task in ("sudoku-extreme", "maze-hard"):
        assert "Every published language-model score here is 0.0 (4 rows" in pages[f"tasks/{task}.html"].decode()
    text = pages["tasks/arc1.html"].decode()
    told = re.findall(r"([\w-]+): \d+ of \d+ language models rank above .*?; the best has ([\d.]+)", text)
    best = {column: 0.0 for column, _ in told}
    for row in json.loads(re.search(r'id="charts-data">(.*?)</script>', text)[1])["rows"]:
        for column in best:
            if row["f"] == "llm" and row.get("k") and column in row["r"]:
                best[column] = max(best[column], row["r"][column]["v"])
    assert {column: float(score) for column, score in told} == best
    assert set(best) == {"public", "semi-private"}
    assert "no record of this harness here yet" in pages["tasks/sudoku-extreme.html"].decode()


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A leaderboards folder whose record and reported row are full of markup."""
    root = tmp_path / "boards"
    folder = root / "records" / NANO
    shutil.copytree(paths.records() / NANO, folder)
    record = archive.read_filed(folder, root / "records").record
    told = {
        "task": record.task.model_copy(update={"title": EVIL, "source": EVIL, "notes": EVIL}),
        "model": record.model.model_copy(
            update={"title": EVIL, "paper": "javascript:alert(3)", "config": {EVIL: EVIL}}
        ),
        "notes": (EVIL,),
        "command": EVIL,
    }
    write(folder, record.model_copy(update=told))
    films = [dict(film) | {"puzzle": EVIL} for film in archive.read_films(folder)]
    archive.write_films(folder, films)
    (folder / "verification.json").unlink(missing_ok=True)
    archive.write_manifest(folder)
    (root / "reported").mkdir()
    header = (paths.reported() / "arc1.csv").read_text().splitlines()[0]
    values = dict.fromkeys(header.split(","), "") | {
        "benchmark": "arc1", "split": "public-eval", "system": EVIL, "family": EVIL, "metric": "pass@2",
        "score_percent": "50", "source_id": EVIL + " javascript:alert(4)", "confidence": "paper", "notes": EVIL,
        "date": "2026", "label": EVIL,
    }  # fmt: skip
    with (root / "reported" / "a.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, header.split(","))
        writer.writeheader()
        writer.writerow(values)
    return root


def test_hostile_text_stays_text(hostile: Path) -> None:
    made = made_site(hostile).pages()
    assert any(EVIL[-100:] in content.decode() for content in made.values())
    for name, page in html_pages(made).items():
        assert "img" not in page.tags, name
        # The page's own scripts and data, and no more.
        assert page.tags.count("script") <= 4, name
        assert not any(link.lower().startswith("javascript") for link in page.links), name
        assert "alert(1)</script>" not in made[name].decode(), name
        assert "{{ 7 * 7 }}" in made[name].decode() or EVIL[:20] not in made[name].decode(), name


def test_a_site_is_written_whole_and_nothing_else_is_touched(call: Call, tmp_path: Path, hostile: Path) -> None:
    said = call("leaderboard", "build", "--root", str(hostile), "--out", "site")
    assert said.code == 0, said.err
    first = {file: file.read_bytes() for file in Path("site").rglob("*") if file.is_file()}
    assert call("leaderboard", "build", "--root", str(hostile), "--out", "site").code == 0
    assert {file: file.read_bytes() for file in Path("site").rglob("*") if file.is_file()} == first
    assert call("leaderboard", "build", "--root", str(hostile), "--out", "site", "--check").code == 0
    (tmp_path / "site" / "extra.html").write_text("x")
    (tmp_path / "site" / "rules.html").write_text("x")
    said = call("leaderboard", "build", "--root", str(hostile), "--out", "site", "--check")
    assert (said.code, "extra.html, rules.html" in said.err) == (1, True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    said = call("leaderboard", "build", "--root", str(hostile), "--out", "mine")
    assert said.code == 2
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_the_table_of_a_readme(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text("# A\n\n<!-- leaderboard -->\nold\n<!-- /leaderboard -->\n\nrest\n")
    args = ("leaderboard", "build", "--format", "md", "--out", "README.md")
    assert call(*args, "--check").code == 1
    assert call(*args).code == 0
    text = file.read_text()
    assert text.startswith("# A\n\n<!-- leaderboard -->\n\n| task, split")
    assert text.endswith("<!-- /leaderboard -->\n\nrest\n")
    (line,) = [line for line in text.splitlines() if line.startswith("| sudoku-4x4, test")]
    assert "100.0 direct-nano.sudoku-4x4" in line
    assert "500 of 500 puzzles" in line
    assert call(*args, "--check").code == 0
    file.write_text("no marks")
    assert call(*args).code == 2


def test_pictures(call: Call, tmp_path: Path, hostile: Path) -> None:
    said = call("leaderboard", "build", "--root", str(hostile), "--format", "png", "--out", "pictures")
    assert said.code == 0, said.err
    made = sorted(file.name for file in (tmp_path / "pictures").iterdir())
    assert made == ["sudoku-4x4-test.png"], "the hostile row has a label and is not ranked"
    assert (tmp_path / "pictures" / made[0]).read_bytes().startswith(b"\x89PNG")
    assert call("leaderboard", "build", "--format", "png", "--out", "x", "--check").code == 2


def test_addresses_are_short_safe_and_never_shared() -> None:
    assert views.slug("trm-nano.sudoku-4x4") == "trm-nano.sudoku-4x4"
    names = ["a b", "a/b", "a-b", "../../etc", EVIL, EVIL + "y", "ä"]
    slugs = [views.slug(name) for name in names]
    assert len(set(slugs)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9._+-]{1,80}", slug) and not slug.startswith(".") for slug in slugs)


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("arXiv:2510.04871", "https://arxiv.org/abs/2510.04871"),
        ("arXiv:2606.18206 (as quoted by a secondary source)", "https://arxiv.org/abs/2606.18206"),
        ("github:olivkoch/nano-trm@fc4436c", "https://github.com/olivkoch/nano-trm/tree/fc4436c"),
        ("sapientinc/HRM#12", "https://github.com/sapientinc/HRM/issues/12"),
        ("javascript:alert(1)", ""),
        ("https://elsewhere.example/", ""),
    ],
)
def test_sources_become_links_only_where_their_form_is_known(source: str, address: str) -> None:
    assert views.source_link(source) == address


@pytest.mark.parametrize(
    ("text", "number"), [("7M", 7e6), ("5-7M", 35e12**0.5), ("~3M", 3e6), ("671B", 671e9), ("", None), ("many", None)]
)
def test_parameters_as_numbers(text: str, number: float | None) -> None:
    from tests.test_leaderboard import reported

    assert views.parameters_number(reported("a", 1, parameters=text)) == (number and pytest.approx(number))


def test_the_vendored_library_is_the_one_described() -> None:
    folder = ROOT / "trm_harness/leaderboard/web/vendor"
    text = (folder / "README.md").read_text()
    assert hashlib.sha256((folder / "plot.js").read_bytes()).hexdigest() in text
    assert "ISC" in (folder / "LICENSES.txt").read_text()
