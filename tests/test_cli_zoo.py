"""``trm-harness zoo`` in a real process, with cards that a plugin brings."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Site
from tests.zoo_cards import CONFIG, cards_plugin, make_card, weights

Run = Callable[..., subprocess.CompletedProcess[str]]

SCORE = '{{ metric = "pass@2", value = {}, n = 400, low = 0, high = 1, record = "r" }}'


@pytest.fixture
def zoo(tmp_path: Path, site: Site) -> Path:
    folder = tmp_path / "zoo"
    make_card(folder, "trm-toy.one")
    make_card(folder, "trm-toy.two", expected=SCORE.format(0.5))
    make_card(folder, "trm-toy.three", task='"arc2"', expected="", status='"unverified"')
    site.install("some-cards", cards_plugin(folder))
    return folder


def test_list_marks_the_default_and_filters(zoo: Path, harness: Run) -> None:
    lines = {line.split()[0]: line for line in harness("zoo", "list", "trm-toy.*").stdout.splitlines()}
    assert set(lines) == {"CARD", "trm-toy.one", "trm-toy.two", "trm-toy.three"}
    assert "*" not in lines["trm-toy.one"]
    assert "* " in lines["trm-toy.two"]
    assert "pass@2 50.0 % of 400" in lines["trm-toy.two"]
    assert "1,000" in lines["trm-toy.one"]
    listed = json.loads(harness("zoo", "list", "trm-toy.*", "--task", "arc2", "--json").stdout)
    assert [(card["name"], card["default"], card["expected"]) for card in listed] == [("trm-toy.three", True, None)]
    assert harness("zoo", "list", "nothing*").stdout == "no card fits\n"


def test_list_refuses_an_unknown_task(zoo: Path, harness: Run) -> None:
    done = harness("zoo", "list", "--task", "arc9")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: unknown task 'arc9'")


def test_show(zoo: Path, harness: Run) -> None:
    text = harness("zoo", "show", "trm-toy.one").stdout
    for part in (
        "27 parameters",
        "1,000 values, 8 touched",
        "pass@2 25.0 % of 400",
        "20.0 to 30.0",
        "joint",
        "arc1/train",
    ):
        assert part in text
    assert json.loads(harness("zoo", "show", "trm-toy.one", "--json").stdout)["training"]["seed"] == 3
    unknown = harness("zoo", "show", "trm-toy.won")
    assert unknown.returncode == 2
    assert "did you mean" in unknown.stderr
    assert "'trm-toy.one'" in unknown.stderr


def test_path_checks_the_hash(zoo: Path, harness: Run) -> None:
    done = harness("zoo", "path", "trm-toy.one")
    file = zoo / "trm-toy.one" / "weights.safetensors"
    assert (done.returncode, done.stdout) == (0, f"{file}\n")
    file.write_bytes(file.read_bytes()[:100])
    done = harness("zoo", "path", "trm-toy.one")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the file is damaged or not the card's" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_verify_passes_and_fails(zoo: Path, harness: Run) -> None:
    good = harness("zoo", "verify", "--quick", "trm-toy.one", "trm-toy.two")
    assert good.returncode == 0
    assert good.stdout.count("ok ") == 10
    make_card(zoo, "trm-toy.wrong", content=weights("trm-toy.wrong", config=CONFIG | {"layers": 9}))
    bad = harness("zoo", "verify", "--quick", "trm-toy.one", "trm-toy.wrong")
    assert bad.returncode == 1
    assert "FAILED  trm-toy.wrong  config: the file has layers = 9, the card says 2" in bad.stdout
    assert bad.stderr == "error: 1 of 2 cards do not match their weights: trm-toy.wrong\n"
    told = json.loads(harness("zoo", "verify", "trm-toy.wrong", "--json").stdout)
    assert [check["what"] for check in told["trm-toy.wrong"] if not check["passed"]] == ["config"]


def test_a_broken_card_is_one_line(zoo: Path, harness: Run) -> None:
    file = zoo / "trm-toy.one" / "card.toml"
    file.write_text(file.read_text() + 'colour = "red"\n')
    done = harness("zoo", "list")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {file}: unknown key 'colour'")
    assert len(done.stderr.splitlines()) == 1


def test_list_imports_nothing_heavy(zoo: Path, harness: Run) -> None:
    done = harness("zoo", "list", PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "tomllib" in imported
    assert not imported & {"torch", "numpy", "pandas", "pydantic", "rich", "matplotlib"}
