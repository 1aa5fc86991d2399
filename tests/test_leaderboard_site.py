"""The static site: complete, self-contained, the same bytes each time; whatever a record says stays text."""

from __future__ import annotations

import csv
import hashlib
import html.parser
import io
import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.test_cli_eval import Call, call
from trm_harness.cli.leaderboard.build import Wishes, made_site, refuse_unchecked
from trm_harness.files import paths
from trm_harness.leaderboard import archive, views
from trm_harness.leaderboard.site import PAGE_BYTES, Site, heavy
from trm_harness.record import write

__all__ = ["call"]

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"' {{ 7 * 7 }} \u05d0\u05d1 ltr " + "x" * 3000
NANO = "sudoku-4x4/trm-nano.sudoku-4x4/5c0e2006/20261123-210156-sudoku-4x4-trm-nano.sudoku-4x4"


@pytest.fixture(scope="module")
def site() -> Site:
    return made_site(paths.leaderboards())


@pytest.fixture(scope="module")
def pages(site: Site) -> dict[str, bytes]:
    return site.pages()


class Page(html.parser.HTMLParser):
    """Links, sources, ids and tags of a page, and its balance."""

    VOID = ("meta", "link", "input", "br", "hr", "img")

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
    assert not heavy(pages)
    assert heavy({"index.html": b"x" * (PAGE_BYTES + 1)}) == [("index.html", PAGE_BYTES + 1)]


def test_the_tables_of_the_repository_are_current(call: Call) -> None:
    for file in (paths.leaderboards() / "README.md", ROOT / "README.md"):
        said = call("leaderboard", "build", "--format", "md", "--out", str(file), "--check")
        assert said.code == 0, said.err


def test_every_task_model_and_record_has_its_page(site: Site, pages: dict[str, bytes]) -> None:
    for task in ("arc1", "arc2", "sudoku-extreme", "maze-hard", "sudoku-4x4", "sudoku-9x9", "maze-8x8"):
        assert {f"tasks/{task}.html", f"data/{task}.csv", f"data/{task}.json"} <= pages.keys()
    for filed in site.filed:
        assert f"records/{filed.place}.html" in pages
        assert f"models/{views.slug(views.model_name(filed.record))}.html" in pages
    shown = json.loads(pages["data/records.json"])
    assert {record["place"] for record in shown} == {filed.place for filed in site.filed}
    claims = list(csv.DictReader(io.StringIO(pages["data/claims.csv"].decode())))
    assert len(claims) == sum(len(row.results) for row in site.reported) > 700


def test_every_link_leads_somewhere_and_nothing_is_fetched(pages: dict[str, bytes]) -> None:
    found = html_pages(pages)
    for name, page in found.items():
        here = Path("/", name)
        for source in page.sources:
            assert source.startswith("data:,") or _inside(here, source) in pages, (name, source)
        for link in page.links:
            if re.match(r"https://(arxiv\.org|github\.com|arcprize\.org|[\w-]+\.github\.io)/", link):
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
    cells = re.findall(r'score-cell" data-split="(public|semi-private)" data-v="([\d.]+)"', row)
    assert cells == [("public", "44.0"), ("semi-private", "40.0")]
    told = json.loads(re.search(r'id="charts-data">(.*?)</script>', text)[1])
    assert told["columns"] == ["public", "semi-private"]
    assert "pass@100 and pass@1000 count" in text
    assert "pass@1000" not in pages["tasks/maze-hard.html"].decode()


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
    told = re.findall(r"([\w-]+): \d+ of the \d+ language-model rows here score above .*?; the best has ([\d.]+)", text)
    best = {column: 0.0 for column, _ in told}
    for row in json.loads(re.search(r'id="charts-data">(.*?)</script>', text)[1])["rows"]:
        for column in best:
            if row["f"] == "llm" and row.get("k") and column in row["r"]:
                best[column] = max(best[column], row["r"][column]["v"])
    assert {column: float(score) for column, score in told} == best
    assert set(best) == {"public", "semi-private"}
    assert "No record of this harness here yet" in pages["tasks/sudoku-extreme.html"].decode()


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A leaderboards folder whose record and reported row are full of markup."""
    root = tmp_path / "boards"
    folder = root / "records" / NANO
    shutil.copytree(paths.leaderboards() / "records" / NANO, folder)
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
    assert any(EVIL[-100:] in content.decode(errors="ignore") for content in made.values())
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
    (tmp_path / "site" / "claims.html").write_text("x")
    said = call("leaderboard", "build", "--root", str(hostile), "--out", "site", "--check")
    assert (said.code, "site is stale: claims.html;" in said.err) == (1, True)
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


def test_a_cell_of_markdown_holds_text_only() -> None:
    from trm_harness.leaderboard.tables import markdown_cell

    told = markdown_cell("[a](https://example.org) | <b>`x`\n*y*")
    assert told == r"\[a\](https://example.org) \| &lt;b>\`x\` \*y\*"


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
        ("mvakde.github.io/blog/44-on-arc-1", "https://mvakde.github.io/blog/44-on-arc-1"),
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


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A leaderboards folder of somebody's own with one record, copied from the published ones."""
    root = tmp_path / "mine"
    shutil.copytree(paths.leaderboards() / "records" / NANO, root / "records" / NANO)
    (root / "reported").mkdir()
    return root


def again(folder: Path, name: str, **changes: Any) -> Path:
    """One more run beside a filed one, as if its weights had been evaluated again."""
    to = folder.parent / name
    shutil.copytree(folder, to)
    run = json.loads((to / "run.json").read_text())
    (to / "run.json").write_text(json.dumps(run | {"id": name} | changes))
    (to / "verification.json").unlink(missing_ok=True)
    archive.write_manifest(to)
    return to


def test_a_board_of_ones_own_has_its_own_title_and_rows(call: Call, own: Path) -> None:
    mine = made_site(own).pages()["index.html"].decode()
    assert "<title>Local results · Local leaderboard: mine</title>" in mine
    assert "TRM, HRM and their followers" not in mine
    assert "tasks/arc1.html" not in mine
    assert json.loads(made_site(own).pages()["data/claims.json"]) == []
    both = made_site(own, Wishes(shipped=True, title="Our lab")).pages()
    assert "tasks/arc1.html" in both["index.html"].decode()
    assert "Our lab</title>" in both["index.html"].decode()
    assert call("leaderboard", "build", "--root", str(own), "--out", "x", "--docs", "javascript:alert(1)").code == 2


def test_an_empty_board_counts_nothing(call: Call, tmp_path: Path) -> None:
    (tmp_path / "none/records").mkdir(parents=True)
    page = made_site(tmp_path / "none").pages()["index.html"].decode()
    assert "No record yet" in page
    assert "records of ours" not in page


def test_records_that_do_not_check_are_not_built(call: Call, own: Path) -> None:
    file = own / "records" / NANO / "run.json"
    file.write_text(file.read_text().replace('"status": "success"', '"status": "error"'))
    said = call("leaderboard", "build", "--root", str(own), "--out", "site")
    assert said.code == 1
    assert "nothing was built" in said.err
    assert NANO in said.err
    assert not Path("site").exists()


def test_runs_of_the_same_weights_and_protocol_are_one_row(own: Path) -> None:
    """The row is the most verified, then the newest run, never the best one."""
    folder = own / "records" / NANO
    record = json.loads((folder / "run.json").read_text())
    better = {"headline": record["headline"] | {"value": 1.0, "numerator": 500.0, "high": 1.0}}
    for number in range(3):
        again(folder, f"run-{number}", **better)
    again(folder, "other-protocol", protocol=record["protocol"] | {"steps": 4})
    made = made_site(own)
    rows = re.findall(r'<tr id="r-.*?</tr>', made.pages()["tasks/sudoku-4x4.html"].decode(), re.DOTALL)
    assert len(rows) == 2
    (several,) = [row for row in rows if "4 runs" in row]
    assert 'data-v="99.8"' in several
    assert sum(f"run-{number}.html" in several for number in range(3)) == 3
    assert all(f"records/{filed.place}.html" in made.pages() for filed in made.filed)


def test_a_withdrawn_record_keeps_a_stone_with_its_reason(own: Path) -> None:
    place = f"{NANO.rpartition('/')[0]}/gone"
    lines = [f"{place},2026-11-25,wrong data", "../../etc/a/b/c,2026-11-25,a trap"]
    (own / "withdrawn.csv").write_text("\n".join(["place,date,reason", *lines]) + "\n")
    pages = made_site(own).pages()
    assert "wrong data" in pages[f"records/{place}.html"].decode()
    assert f'href="../records/{place}.html"' in pages["tasks/sudoku-4x4.html"].decode()
    assert not any(".." in name for name in pages)


def test_films_lie_in_files_of_their_own(pages: dict[str, bytes]) -> None:
    page, films = pages[f"records/{NANO}.html"].decode(), pages[f"records/{NANO}.films.js"].decode()
    assert films.startswith("showFilms({")
    told = json.loads(films[len("showFilms(") : -len(");\n")])
    assert told["films"] == [dict(film) for film in archive.read_films(paths.leaderboards() / "records" / NANO)]
    assert told["films"][0]["input"] not in page
    assert "<" not in films


def test_downloads_hold_one_object_a_line(pages: dict[str, bytes]) -> None:
    """So two contributions of one record each change different lines."""
    for name in ("data/records.json", "data/claims.json", "data/arc1.json"):
        told = json.loads(pages[name])
        rows = told["rows"] if isinstance(told, dict) else told
        lines = [
            line.rstrip(",") for line in pages[name].decode().splitlines() if line.startswith('{"') and "}" in line
        ]
        assert len([line for line in lines if line.endswith("}")]) == len(rows) > 40


def test_what_weakens_a_leading_score_is_said_by_one_rule() -> None:
    from tests.test_leaderboard import reported

    def told(**changes: Any) -> list[str]:
        return views.caveats(reported("a", 50, **changes))

    assert told() == []
    assert told(samples=1000) == ["1,000 samples"]
    assert told(samples=1, training_data="benchmark") == []
    assert told(training_data="extra: NVARC", level="second-hand") == ["extra data", "second-hand"]
    assert told(notes="high; protocol not checked") == ["protocol unchecked"]
    assert told(level="ours", family="recursive", verified="self-reported") == ["self-reported"]
    assert told(level="ours", verified="re-scored") == ["training unknown"]


def test_pages_say_what_they_are_to_a_preview_and_to_a_reader(site: Site, pages: dict[str, bytes]) -> None:
    for name, content in pages.items():
        if name.endswith(".html"):
            text = content.decode()
            assert re.search(r'<meta name="description" content="[^"]{20,}">', text), name
            assert '<meta property="og:title"' in text
    frame = Wishes(repository="https://example.org/r", docs="docs/index.html", address="https://example.org/board")
    text = made_site(paths.leaderboards(), frame).pages()["tasks/arc1.html"].decode()
    for part in (
        'href="../docs/index.html">Docs',
        'href="https://example.org/r">Repository',
        'href="../submit.html">Submit',
        'og:url" content="https://example.org/board/tasks/arc1.html"',
        'og:image" content="https://example.org/board/assets/preview.png"',
    ):
        assert part in text, part
    assert "@software{trm_harness" in pages["index.html"].decode()
    assert re.search(r"records as of commit [0-9a-f]{7,} of \d{4}-\d\d-\d\d", pages["index.html"].decode())


@pytest.mark.slow
def test_ten_times_the_records_build_in_a_minute_of_one_core_and_read_as_well(own: Path) -> None:
    """Ten times what is published now, by copies: twenty runs of each of 25 sets of weights."""
    folder = own / "records" / NANO
    run, plan = (json.loads((folder / name).read_text()) for name in ("run.json", "plan.json"))
    for number in range(500):
        weights = hashlib.sha256(str(number % 25).encode()).hexdigest()
        model = run["model"] | {"weights_sha256": weights, "card": f"copy-{number % 25}"}
        to = own / "records" / "sudoku-4x4" / f"copy-{number % 25}" / weights[:8] / f"run-{number}"
        shutil.copytree(folder, to)
        (to / "run.json").write_text(json.dumps(run | {"id": to.name, "model": model}))
        (to / "plan.json").write_text(json.dumps(plan | {"weights_sha256": weights}))
        (to / "verification.json").unlink()
        archive.write_manifest(to)
    began = time.process_time()
    refuse_unchecked(own)
    pages = made_site(own).pages()
    assert time.process_time() - began < 60
    assert sum(name.startswith("records/") and name.endswith(".html") for name in pages) == 501
    assert not heavy(pages)
    rows = re.findall(r'<tr id="r-.*?</tr>', pages["tasks/sudoku-4x4.html"].decode(), re.DOTALL)
    assert len(rows) == 26
    assert sum("20 runs" in row for row in rows) == 25
