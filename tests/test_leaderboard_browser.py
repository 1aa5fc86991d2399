"""The built board in a real browser: sorting, filters, pointing at charts, the viewer, themes, a phone's width."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import CHROMIUM, Page, browser
from tests.conftest import ROOT
from tests.test_leaderboard_site import EVIL, NANO, hostile
from trm_harness.cli.board import made_site
from trm_harness.leaderboard.site import write_site

__all__ = ["hostile"]

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")

BOARD = ROOT / "board"
SHOWN = "[...document.querySelectorAll('#board tbody tr')].filter(row => !row.hidden)"
PAGES = (
    "index.html", "claims.html", "rules.html", "tasks/arc1.html", "tasks/maze-hard.html", "tasks/sudoku-4x4.html",
    "models/trm-nano.sudoku-4x4.html", f"records/{NANO}.html",
)  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        opened.open(BOARD / "index.html")
        opened.window(1300, 900)
        yield opened


@pytest.fixture(autouse=True)
def quiet(page: Page) -> Iterator[None]:
    """No word on the console and no request to anywhere but the folder, whatever a test does."""
    page.complaints.clear()
    page.requests.clear()
    yield
    assert page.complaints == []
    assert {url.partition(":")[0] for url in page.requests} <= {"file", "data"}


def go(page: Page, name: str, folder: Path = BOARD) -> None:
    page.go((folder / name).as_uri())
    page.until("document.title !== ''")


def fill(page: Page, name: str, text: str) -> None:
    """Choose in a filter as a person does, with the event that follows."""
    page.value(
        f"(() => {{ const field = document.forms.filters.elements['{name}']; field.value = '{text}'; "
        "field.dispatchEvent(new Event('input', { bubbles: true })); })()"
    )


def column(page: Page, number: int) -> list[Any]:
    """The cells' values of the rows that show, as the table sorts by them."""
    return page.value(f"{SHOWN}.map(row => row.cells[{number}].dataset.v ?? '')")


def test_every_page_loads_in_both_themes_and_on_a_phone(page: Page) -> None:
    for name in PAGES:
        go(page, name)
        colours = []
        for scheme in ("light", "dark"):
            page.scheme(scheme)
            colours.append(page.value("getComputedStyle(document.body).backgroundColor"))
        assert colours[0] != colours[1]
        page.window(360, 740)
        page.until("innerWidth === 360")
        wide = page.value("document.documentElement.scrollWidth")
        assert wide <= 360, f"{name} is {wide} wide on a phone"
        page.window(1300, 900)


def test_sorting_by_each_kind_of_column(page: Page) -> None:
    go(page, "tasks/arc1.html")
    head = "document.querySelectorAll('#board thead th')"
    for number, way in ((2, "descending"), (2, "ascending"), (4, "ascending")):
        page.value(f"{head}[{number}].querySelector('button').click()")
        assert page.value(f"{head}[{number}].getAttribute('aria-sort')") == way
        told = [float(value) for value in column(page, number) if value]
        assert told == sorted(told, reverse=way == "descending")
        assert len(told) > 10
        # Rows that say nothing stand at the end whichever way.
        assert "" not in column(page, number)[: len(told)]
    page.value(f"{head}[0].querySelector('button').click()")
    by_name = "r => r.cells[0].dataset.v).sort((a, b) => a.localeCompare(b, 'en'))"
    assert column(page, 0) == page.value(f"{SHOWN}.map({by_name}")
    # By keyboard too: the heading is a button.
    page.value(f"{head}[1].querySelector('button').focus()")
    page.press("Enter")
    assert page.value(f"{head}[1].getAttribute('aria-sort')") == "ascending"


def test_filters_narrow_the_table_and_the_charts(page: Page) -> None:
    go(page, "tasks/arc1.html")
    whole = page.value(f"{SHOWN}.length")
    fill(page, "family", "recursive")
    assert set(page.value(f"{SHOWN}.map(row => row.dataset.f)")) == {"recursive"}
    assert (
        page.value("document.getElementById('shown').textContent") == f"{page.value(f'{SHOWN}.length')} of {whole} rows"
    )
    assert page.value("document.querySelectorAll('#chart-scores .legend .fam').length") == 1
    fill(page, "training", "joint")
    assert set(page.value(f"{SHOWN}.map(row => row.dataset.t)")) == {"joint"}
    fill(page, "family", "")
    fill(page, "training", "")
    fill(page, "size", "tiny")
    assert all(float(p) <= 1e7 for p in page.value(f"{SHOWN}.map(row => row.dataset.p)"))
    fill(page, "size", "")
    fill(page, "level", "ours")
    assert page.value(f"{SHOWN}.length") == page.value("document.querySelectorAll('#board tr.ours').length") > 0
    fill(page, "level", "")
    fill(page, "q", "gemini")
    assert all("gemini" in text.lower() for text in page.value(f"{SHOWN}.map(row => row.textContent)"))
    page.value("document.forms.filters.reset()")
    page.until(f"{SHOWN}.length === {whole}")


def test_one_set_of_puzzles_hides_the_other_column(page: Page) -> None:
    go(page, "tasks/arc1.html")
    fill(page, "split", "semi-private")
    heads = (
        "[...document.querySelectorAll('#board thead th[data-split]')].map(head => [head.dataset.split, head.hidden])"
    )
    assert page.value(heads) == [["public", True], ["semi-private", False]]
    pressed = "document.querySelector('#column-tabs [aria-pressed=true]').textContent"
    assert page.value(pressed) == "semi-private"
    assert page.value("location.search") in ("?split=semi-private", "")
    page.value("[...document.querySelectorAll('#column-tabs button')][0].click()")
    assert page.value(pressed) == "public"


def test_an_address_with_filters_opens_as_it_was_left(page: Page) -> None:
    address = (BOARD / "tasks/arc1.html").as_uri()
    page.go(f"{address}?family=direct&ranked=1")
    assert set(page.value(f"{SHOWN}.map(row => row.dataset.f)")) == {"direct"}
    assert page.value("document.forms.filters.elements.ranked.checked") is True


def place(page: Page, chart: str, number: int) -> list[float]:
    """Where a dot of a chart lies in the window."""
    page.value(f"document.getElementById('{chart}').scrollIntoView({{block: 'center', behavior: 'instant'}})")
    dots = f"document.querySelectorAll('#{chart} [aria-label=dot] > *')[{number}].getBoundingClientRect()"
    return page.value(f"(() => {{ const r = {dots}; return [r.x + r.width / 2, r.y + r.height / 2]; }})()")


@pytest.mark.parametrize("chart", ["chart-scores", "chart-parameters", "chart-cost"])
def test_pointing_at_a_mark_tells_its_numbers_and_clicking_leads_to_its_row(page: Page, chart: str) -> None:
    go(page, "tasks/arc1.html")
    page.until(f"document.querySelectorAll('#{chart} [aria-label=dot] > *').length > 2")
    x, y = place(page, chart, 1)
    page.move(x, y)
    page.until(f"document.querySelector('#{chart} [aria-label=tip]').textContent.includes('%')")
    told = page.value(f"document.querySelector('#{chart} [aria-label=tip]').textContent").replace("\u200b", "")
    page.click(x, y)
    page.until("document.querySelectorAll('tr.hit').length === 1")
    system = page.value("document.querySelector('tr.hit th bdi').textContent")
    assert told.replace(" ", "").startswith(system.replace(" ", "")[:20])
    assert page.value("document.activeElement === document.querySelector('tr.hit')")
    assert page.value("location.hash") == "#" + page.value("document.querySelector('tr.hit').id")


def test_axes_are_logarithmic_and_a_front_is_drawn(page: Page) -> None:
    go(page, "tasks/arc1.html")
    for chart in ("chart-parameters", "chart-cost"):
        page.until(f"document.querySelectorAll('#{chart} [aria-label=line] path').length >= 1")
        assert page.value(f"document.querySelector('#{chart} svg').getAttribute('role')") == "img"
    labels = '#chart-parameters [aria-label="x-axis tick label"] text'
    ticks = page.value(f"[...document.querySelectorAll('{labels}')].map(label => label.textContent)")
    assert {"1M", "10M", "100M", "1B"} <= set(ticks)


def test_the_viewer_plays_an_answer_step_by_step(page: Page) -> None:
    go(page, f"records/{NANO}.html")
    state = "document.getElementById('state').textContent"
    cells = "[...document.querySelectorAll('#answer div')].map(cell => +cell.textContent)"
    puzzles = page.value("document.querySelectorAll('#picker button').length")
    assert puzzles > 3
    films = page.value("JSON.parse(document.getElementById('films-data').textContent).films")
    wrong = next(number for number, film in enumerate(films) if not film["right"])
    for number in (wrong, 0):
        page.value(f"document.querySelectorAll('#picker button')[{number}].click()")
        film, frames = films[number], []
        for text in film["frames"]:
            frames.append(frames[-1] if text == "=" else [int(c, 36) for c in text.replace("/", "")])
        assert page.value(state).startswith("Step 1 of 8, halting score")
        page.value("document.getElementById('viewer').querySelector('button').focus()")
        for step in range(2, 9):
            page.press("ArrowRight")
            assert page.value(state).startswith(f"Step {step} of 8")
            assert page.value(cells) == frames[step - 1]
            assert page.value("document.querySelectorAll('#answer .changed').length") == (
                sum(a != b for a, b in zip(frames[step - 1], frames[step - 2], strict=True))
                if step < 8 or film["right"]
                else 0
            )
        answer = [int(c, 36) for c in film["answer"].replace("/", "")]
        missed = sum(a != b for a, b in zip(frames[-1], answer, strict=True))
        assert page.value("document.querySelectorAll('#answer .wrong').length") == missed
        assert ("right" in page.value(state)) == film["right"] == (missed == 0)
    page.value("document.getElementById('play').click()")
    page.until(f"{state}.startsWith('Step 2')")
    page.until(f"{state}.startsWith('Step 8') && document.getElementById('play').textContent === 'Play'")
    assert page.value("document.querySelectorAll('#chart-calibration svg').length") == 1
    assert page.value("document.querySelectorAll('#chart-steps svg').length") == 1


def test_the_theme_is_chosen_and_kept(page: Page) -> None:
    page.scheme("light")
    go(page, "index.html")
    paper = "getComputedStyle(document.body).backgroundColor"
    system = page.value(paper)
    for wanted in ("light", "dark"):
        page.value("document.getElementById('theme').click()")
        assert page.value("document.documentElement.dataset.theme") == wanted
    assert page.value(paper) != system
    go(page, "claims.html")
    assert page.value("document.documentElement.dataset.theme") == "dark"
    page.value("document.getElementById('theme').click()")
    assert page.value(paper) == system


def test_keyboard_and_names_for_readers(page: Page) -> None:
    go(page, "tasks/maze-hard.html")
    page.press("Tab")
    assert page.value("document.activeElement.className") == "skip"
    nameless = (
        "[...document.querySelectorAll('button, select, input, a, summary, [role=img], [role=region]')].filter("
        "e => !e.closest('[hidden]') && !(e.textContent.trim() || e.getAttribute('aria-label') "
        "|| e.getAttribute('aria-labelledby') || (e.labels && e.labels.length))).length"
    )
    for name in PAGES:
        go(page, name)
        assert page.value(nameless) == 0, name
        assert page.value("document.querySelectorAll('h1').length") == 1
        assert page.value("document.documentElement.lang") == "en"
        tables = "[...document.querySelectorAll('table:not(.prose table)')].every(t => t.querySelector('th[scope]'))"
        assert page.value(tables) is True


def test_hostile_text_shows_as_text(page: Page, tmp_path: Path, hostile: Path) -> None:
    made = made_site(hostile)
    write_site(tmp_path / "site", made.pages())
    page.ask("Page.addScriptToEvaluateOnNewDocument", source="window.alert = () => { window.struck = true; };")
    names = ["index.html", "claims.html", "tasks/arc1.html", "tasks/sudoku-4x4.html", f"records/{NANO}.html"]
    for name in names:
        go(page, name, tmp_path / "site")
        assert page.value("document.querySelectorAll('main img').length") == 0, name
        assert page.value("window.struck") is None
        page.window(360, 740)
        page.until("innerWidth === 360")
        assert page.value("document.documentElement.scrollWidth") <= 360, name
        page.window(1300, 900)
    go(page, "tasks/arc1.html", tmp_path / "site")
    assert page.value("document.querySelector('#board tbody th bdi').textContent").strip() == EVIL.strip()
    go(page, f"records/{NANO}.html", tmp_path / "site")
    assert page.value("document.querySelector('#command').textContent").strip() == EVIL.strip()
    assert page.value("document.querySelector('#picker button span').textContent") == EVIL
