"""Cards travel: pushed with the real client to a hub on this machine, pulled from it, exported and imported again."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.hub_server import Hub, serving
from trm_harness.files.paths import zoo
from trm_harness.zoo import Source, read_card
from trm_harness.zoo.write import write_card

Run = Callable[..., subprocess.CompletedProcess[str]]
NANO, REPO = "trm-nano.sudoku-4x4", "someone/trm-nano-sudoku-4x4"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving() as running:
        yield running


def on(hub: Hub, tmp_path: Path) -> dict[str, str]:
    return {**hub.environment(tmp_path / "home"), "TRM_HARNESS_ZOO": str(tmp_path / "own")}


def test_a_pushed_card_comes_back_whole_and_is_verified(hub: Hub, harness: Run, tmp_path: Path) -> None:
    env = on(hub, tmp_path)
    done = harness("zoo", "push", NANO, REPO, "--private", **env)
    assert done.returncode == 0, done.stderr
    repository = hub.repositories["model", REPO]
    assert hub.private == {REPO: True}
    assert repository.commit in done.stdout
    assert {"card.toml", "model.safetensors", "README.md", "config.json", "golden.json"} <= set(repository.files)
    assert repository.files["model.safetensors"] == (zoo() / NANO / "weights.safetensors").read_bytes()
    assert any(path.startswith("/lfs/") for verb, path in hub.asked if verb == "PUT")
    block = yaml.safe_load(repository.files["README.md"].decode().split("---")[1])
    result = block["model-index"][0]["results"][0]
    assert (result["metrics"][0]["value"], result["dataset"]["type"]) == (0.998, "sudoku-4x4")
    assert block["license"] == "apache-2.0"

    clash = harness("zoo", "pull", REPO, **env)
    assert (clash.returncode, "choose another name" in clash.stderr) == (2, True)
    pushed = repository.files["card.toml"].decode().replace(f'name = "{NANO}"', 'name = "trm-nano.pulled"')
    repository.files["card.toml"] = pushed.encode()
    done = harness("zoo", "pull", REPO, **env)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "own" / "trm-nano.pulled"
    assert done.stdout == f"{folder}\n"
    card = read_card(folder / "card.toml")
    assert (card.source.file, card.expected.value) == ("model.safetensors", 0.998)
    checked = harness("zoo", "verify", "--score", "--limit", "20", "trm-nano.pulled", **env)
    # Its metadata still names the card that it was pushed from, which is found; everything else holds.
    assert [line for line in checked.stdout.splitlines() if not line.startswith("ok")] == [
        "FAILED  trm-nano.pulled  card: the file says 'trm-nano.sudoku-4x4', the card is 'trm-nano.pulled'"
    ]
    again = harness("zoo", "pull", REPO, **env)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)


def test_weights_that_are_not_the_cards_leave_nothing(hub: Hub, harness: Run, tmp_path: Path) -> None:
    env = on(hub, tmp_path)
    assert harness("zoo", "push", NANO, REPO, **env).returncode == 0
    files = hub.repositories["model", REPO].files
    files["card.toml"] = files["card.toml"].replace(NANO.encode(), b"trm-nano.pulled", 1)
    files["model.safetensors"] = files["model.safetensors"][:-1] + b"\0"
    done = harness("zoo", "pull", REPO, **env)
    assert done.returncode == 2
    assert "nothing of it was kept" in done.stderr
    assert not (tmp_path / "own").exists()


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", ""])
def test_a_card_cannot_lead_out_of_the_zoo(hub: Hub, harness: Run, tmp_path: Path, name: str) -> None:
    text = (zoo() / NANO / "card.toml").read_text().replace(f'name = "{NANO}"', f'name = "{name}"')
    hub.put(REPO, "card.toml", text.encode(), repo_type="model")
    done = harness("zoo", "pull", REPO, **on(hub, tmp_path))
    assert done.returncode == 2
    assert "no name for a card's folder" in done.stderr
    assert not (tmp_path / "own").exists()


def test_a_push_that_cannot_be_is_one_line(hub: Hub, harness: Run, tmp_path: Path) -> None:
    hub.broken = 403
    done = harness("zoo", "push", NANO, REPO, **on(hub, tmp_path))
    assert done.returncode == 2
    assert f"cannot push to {REPO}" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    offline = harness("zoo", "push", NANO, REPO, **on(hub, tmp_path) | {"HF_HUB_OFFLINE": "1"})
    assert (offline.returncode, "HF_HUB_OFFLINE is set" in offline.stderr) == (2, True)


def test_a_card_without_a_hash_is_trusted_once_and_by_name(hub: Hub, harness: Run, tmp_path: Path) -> None:
    env = on(hub, tmp_path)
    content = (zoo() / NANO / "weights.safetensors").read_bytes()
    hub.put(REPO, "model.safetensors", content, repo_type="model")
    commit = hub.repositories["model", REPO].commit
    folder = tmp_path / "own" / "trm-nano.unseen"
    folder.mkdir(parents=True)
    text = (zoo() / NANO / "card.toml").read_text().split("[expected]")
    text = text[0] + "[training]" + text[1].split("[training]")[1]
    for old, new in (
        (f'name = "{NANO}"', 'name = "trm-nano.unseen"'),
        ('status = "trained"', 'status = "unverified"'),
        ('file = "weights.safetensors"', f'hub = "{REPO}"\nrevision = "main"\nfilename = "model.safetensors"'),
        ('golden = "golden.json"\n', ""),
    ):
        assert old in text
        text = text.replace(old, new)
    sha256 = read_card(zoo() / NANO / "card.toml").sha256
    (folder / "card.toml").write_text(text.replace(sha256, ""))
    refused = harness("eval", "--task", "sudoku-4x4", "--model", "trm-nano.unseen", "--limit", "1", **env)
    assert (refused.returncode, "--trust-first" in refused.stderr) == (2, True)
    assert harness("zoo", "pull", "trm-nano.unseen", **env).returncode == 2
    done = harness("zoo", "pull", "--trust-first", "trm-nano.unseen", **env)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "own" / "pins.json").read_text()) == {
        "trm-nano.unseen": {"sha256": sha256, "revision": commit}
    }
    run = harness("eval", "--task", "sudoku-4x4", "--model", "trm-nano.unseen", "--limit", "3", "--json", **env)
    assert json.loads(run.stdout)["model"]["weights_sha256"] == sha256
    # The hub changed its mind: what was recorded still counts.
    hub.put(REPO, "model.safetensors", content[:-1] + b"\0", repo_type="model")
    path = harness("zoo", "path", "trm-nano.unseen", **env)
    assert path.returncode == 0, path.stderr
    assert Path(path.stdout.strip()).read_bytes() == content


@pytest.mark.slow
def test_a_reference_checkpoint_on_a_hub_is_pulled_converted_and_scored(hub: Hub, harness: Run, tmp_path: Path) -> None:
    env = on(hub, tmp_path)
    assert harness("zoo", "export", NANO, "--format", "reference", "--out", "theirs").returncode == 0
    hub.put(REPO, "runs/step_1200", (tmp_path / "theirs" / "checkpoint.pt").read_bytes(), repo_type="model")
    folder = tmp_path / "own" / "trm-nano.theirs"
    folder.mkdir(parents=True)
    card = read_card(zoo() / NANO / "card.toml")
    config = {**card.config, "puzzle_dim": 64}
    write_card(
        dataclasses.replace(
            card,
            name="trm-nano.theirs",
            status="unverified",
            expected=None,
            golden="",
            sha256="",
            config=config,
            source=Source(hub=REPO, revision="main", filename="runs/step_1200", format="reference"),
            folder=folder,
        )
    )
    early = harness("zoo", "import", "trm-nano.theirs", **env)
    assert (early.returncode, "--trust-first" in early.stderr) == (2, True)
    assert harness("zoo", "pull", "trm-nano.theirs", "--trust-first", **env).returncode == 0
    done = harness("zoo", "import", "trm-nano.theirs", **env)
    assert done.returncode == 0, done.stderr
    assert {line.split()[-1] for line in done.stdout.splitlines()[1:6]} == {"shape", "given"}
    converted = read_card(tmp_path / "own" / "trm-nano.theirs-imported" / "card.toml")
    assert converted.training.data == card.training.data
    scores = [
        json.loads(harness("eval", "--task", "sudoku-4x4", "--model", name, "--limit", "30", "--json", **env).stdout)
        for name in (NANO, "trm-nano.theirs-imported")
    ]
    assert scores[0]["headline"] == scores[1]["headline"]


@pytest.mark.slow
def test_export_writes_the_bare_file_and_refuses_to_overwrite(harness: Run, tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"
    assert harness("zoo", "export", NANO, "--format", "safetensors", "--out", str(out)).returncode == 0
    assert out.read_bytes() == (zoo() / NANO / "weights.safetensors").read_bytes()
    for form in ("safetensors", "reference", "hub"):
        again = harness("zoo", "export", NANO, "--format", form, "--out", str(out))
        assert (again.returncode, "is there already" in again.stderr) == (2, True)
