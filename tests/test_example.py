"""The example packages as a third party's: installed, tested by their own tests, trained, ranked, outside the tree."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.installing import harness, install, run_its_tests

EXAMPLE = ROOT / "docs" / "examples" / "trm-task-futoshiki"
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()

QUICK = ("--steps", "3", "--set", "batch_size=8")
"""What the tests add to the tutorial's training: they ask whether it runs, not how well it learns."""


def commands() -> list[str]:
    """Every trm-harness command of the tutorial's shell blocks, in their order."""
    blocks = re.findall(r"```sh\n(.*?)```", TUTORIAL, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line.partition(" #")[0].strip() for line in lines if line.startswith("trm-harness ")]


def own_tests_pass(package: Path, installed: tuple[Path, dict[str, str]]) -> None:
    told = run_its_tests(package, *installed)
    assert " passed" in told
    assert " failed" not in told


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    place = tmp_path_factory.mktemp("example")
    return place, install(EXAMPLE, place)


def test_it_is_found_like_any_plugin(site: tuple[Path, dict[str, str]]) -> None:
    place, environment = site
    tasks = {task["id"]: task for task in json.loads(harness(place, environment, "tasks", "list", "--json"))}
    assert tasks["futoshiki-4x4"]["distribution"] == "trm-task-futoshiki"
    source = json.loads(harness(place, environment, "tasks", "show", "futoshiki-4x4", "--json"))["sources"]["test"]
    assert source["n_puzzles"] == 300
    assert source["sha256"] in TUTORIAL


@pytest.mark.slow
def test_its_own_tests_pass_outside_the_tree(site: tuple[Path, dict[str, str]]) -> None:
    own_tests_pass(EXAMPLE, site)


def test_the_tutorials_commands_run_in_their_order(site: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    _, environment = site
    (tmp_path / "recipe.toml").write_text((EXAMPLE / "recipe.toml").read_text())
    told = ""
    for command in commands():
        args = shlex.split(command)[1:]
        if args[:2] == ["plugins", "check"]:
            continue  # the package's own tests run the same laws
        if args[:2] == ["plugins", "new"]:
            continue  # the finished package is installed here, so its name is taken; test_scaffold writes packages
        more = QUICK if args[0] == "train" else ("--limit", "4") if args[0] == "eval" else ()
        told = harness(tmp_path, environment, *args, *more)
    assert commands()[-1].startswith("trm-harness leaderboard show")
    assert "trm-nano" in told


def test_the_tutorial_shows_the_packages_own_code() -> None:
    """Every Python block of the tutorial stands in the package, line for line."""
    sources = "\n".join(path.read_text() for path in sorted(EXAMPLE.rglob("*.py")))
    blocks = re.findall(r"```python\n(.*?)```", TUTORIAL, re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        for part in re.split(r"\n *\.\.\.\n", block):
            assert part.strip("\n") in sources, part


NETWORK = ROOT / "docs" / "examples" / "trm-model-automaton"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    place = tmp_path_factory.mktemp("network")
    return place, install(NETWORK, place)


@pytest.mark.slow
def test_the_networks_own_tests_pass_outside_the_tree(network: tuple[Path, dict[str, str]]) -> None:
    own_tests_pass(NETWORK, network)


@pytest.mark.slow
def test_the_commands_of_the_networks_page_run_in_their_order(
    network: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    """Trained in torch, the same weights answer in numpy."""
    _, environment = network
    (tmp_path / "recipe.toml").write_text((NETWORK / "recipe.toml").read_text())
    block = re.search(r"```sh\n(.*?)```", (NETWORK / "README.md").read_text(), re.DOTALL)[1]
    told = ""
    for command in block.splitlines():
        args = shlex.split(command)[1:]
        if command.startswith("trm-harness "):
            more = QUICK if args[0] == "train" else ("--limit", "20") if args[0] == "eval" else ()
            told = harness(tmp_path, environment, *args, *more)
    records = [json.loads((tmp_path / "runs" / name / "run.json").read_text()) for name in ("torch", "numpy")]
    torch, plain = ((record["headline"]["value"], record["model"]["weights_sha256"]) for record in records)
    assert torch == plain
    assert "only A 0, only B 0" in told
