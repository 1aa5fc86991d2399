"""Cards are made from real runs, and what they claim is measured again: golden outputs, records, scores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.test_cli_eval import Call, call
from trm_harness import registry
from trm_harness.errors import BadInput
from trm_harness.files.paths import zoo
from trm_harness.publish import check_golden, check_record, check_score
from trm_harness.record import read
from trm_harness.train.log import read_metrics
from trm_harness.zoo import Card, named, read_card

__all__ = ["call"]

NANO = "trm-nano.sudoku-4x4"
RECIPE = """
batch_size = 16
dtype = "float32"

[model]
hidden_size = 16
heads = 2
h_cycles = 1
l_cycles = 1
supervision_steps = 2

[[stage]]
steps = 3
lr = 1e-3
lr_end = 1e-3
supervision_steps = 2
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty zoo of the user's own."""
    monkeypatch.setenv("TRM_HARNESS_ZOO", str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.fixture
def copied(tmp_path: Path) -> Card:
    """The shipped nano card in a folder that a test may change."""
    shutil.copytree(zoo() / NANO, tmp_path / "copy" / NANO)
    return read_card(tmp_path / "copy" / NANO / "card.toml")


def test_golden_outputs_come_again_to_the_cell_or_not_at_all(copied: Card) -> None:
    assert check_golden(copied).passed
    file = copied.folder / copied.golden
    golden = json.loads(file.read_text())
    name, answer = next(iter(golden["answers"].items()))
    golden["answers"][name] = answer[:-1] + str(1 + int(answer[-1]) % 4)
    file.write_text(json.dumps(golden))
    found = check_golden(copied)
    assert not found.passed
    assert name in found.detail
    file.write_text(json.dumps({"format": 1}))
    assert "damaged" in check_golden(copied).detail


def test_a_check_whose_puzzles_are_not_here_is_skipped(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(Path("nothing").absolute()))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    said = call("zoo", "verify", "--score", "trm-message-nano.maze-hard")
    assert said.code == 0, said.err
    skipped = [line.split()[2] for line in said.out.splitlines() if line.startswith("skip")]
    assert skipped == ["golden:", "journal:", "score:"]
    assert "ok      trm-message-nano.maze-hard  sha256: " in said.out


def test_a_record_is_the_cards_or_is_not(copied: Card, tmp_path: Path) -> None:
    assert [check.what for check in check_record(copied) if check.passed] == ["record", "claim", "journal"]
    file = copied.folder / "card.toml"
    text = file.read_text()
    file.write_text(text.replace("value = 0.998", "value = 0.999"))
    assert [check.what for check in check_record(read_card(file)) if not check.passed] == ["claim"]
    file.write_text(text.replace("leaderboards/records", "leaderboards/nothing"))
    assert [check.what for check in check_record(read_card(file)) if not check.passed] == ["record"]


def test_a_claimed_score_is_measured_again(copied: Card) -> None:
    part = check_score(copied, limit=25)
    assert part.passed
    assert "a part only" in part.detail
    assert "25 of 25 single-pass answers and 25 verdicts are the record's" in part.detail
    file = copied.folder / "card.toml"
    claim = file.read_text().replace("value = 0.998", "value = 0.2").replace("low = 0.988", "low = 0.1")
    file.write_text(claim.replace("high = 0.999", "high = 0.3"))
    assert not check_score(read_card(file), limit=25).passed


@pytest.mark.slow
def test_every_claim_of_the_shipped_nano_card_is_confirmed(call: Call) -> None:
    said = call("zoo", "verify", "--score", NANO)
    assert said.code == 0, said.out + said.err
    assert "score: 99.8 % of 500" in said.out


def trained(call: Call, name: str = "out", *more: str) -> Path:
    Path("recipe.toml").write_text(RECIPE)
    said = call("train", "--task", "sudoku-4x4", "--model", "trm-nano", "--recipe", "recipe.toml", "--out", name, *more)
    assert said.code == 0, said.err
    return Path(name)


def test_a_card_is_made_of_a_training_run_and_its_evaluation(call: Call, own: Path) -> None:
    run = trained(call)
    said = call(
        *("zoo", "add", f"{run}/weights.safetensors", "--train-run", str(run), "--name", "trm-nano.mine"),
        *("--evaluate", "--limit", "12", "--dtype", "bfloat16", "--golden", "2", "--zoo", str(own)),
    )
    assert said.code == 0, said.err
    card = named("trm-nano.mine", registry.default())
    assert (card.status, card.task, card.training.steps, card.training.seed) == ("trained", "sudoku-4x4", 3, 0)
    assert card.config["hidden_size"] == 16
    assert card.expected is not None
    assert card.expected.n == 12
    assert card.training.data[0].sha256
    record = read(card.folder / card.expected.record)
    assert (record.model.card, record.model.weights_sha256) == (card.name, card.sha256)
    assert record.command == "trm-harness eval --task sudoku-4x4 --model trm-nano.mine --limit 12"
    assert "lr_end" in (card.folder / "recipe.toml").read_text()
    steps = read_metrics(run)
    curve = pd.read_csv(card.folder / card.training.curve)
    assert curve["step"].tolist() == [1, 2, 3]
    assert curve["loss"].tolist() == pytest.approx([step["loss"] for step in steps], abs=1e-5)
    assert str(own.parent) not in (card.folder / card.expected.record / "plan.json").read_text()
    checked = call("zoo", "verify", "--score", card.name)
    assert checked.code == 0, checked.out + checked.err
    again = call(
        "zoo", "add", f"{run}/weights.safetensors", "--train-run", str(run), "--name", card.name, "--zoo", str(own)
    )
    assert (again.code, "is there already" in again.err) == (2, True)
    assert sorted(path.name for path in own.iterdir()) == ["trm-nano.mine"]


def test_a_finished_run_becomes_a_claim_only_for_its_own_weights(call: Call, own: Path) -> None:
    run = trained(call)
    weights, other = f"{run}/weights.safetensors", f"{run}/weights-raw.safetensors"
    for name, file in (("run", weights), ("other", other)):
        said = call(
            *("eval", "--task", "sudoku-4x4", "--model", "trm-nano", "--weights", file, "--limit", "5", "--out", name)
        )
        assert said.code == 0, said.err
    adding = ("zoo", "add", weights, "--train-run", str(run), "--golden", "1", "--zoo", str(own))
    refused = call(*adding, "--record", "other", "--name", "trm-nano.other")
    assert (refused.code, "is of weights" in refused.err) == (2, True)
    assert not own.exists() or not list(own.iterdir())
    assert call(*adding, "--name", "trm-nano.plain").code == 0
    assert named("trm-nano.plain").status == "unverified"
    made = call("zoo", "golden", "trm-nano.plain", "--count", "1", "--steps", "1")
    assert made.code == 0, made.err
    assert made.out.endswith("golden.json: 1 answers\n")
    said = call(*adding, "--record", "run", "--name", "trm-nano.own")
    assert said.code == 0, said.err
    card = named("trm-nano.own")
    assert card.status == "trained"
    # The same bytes as those that were evaluated.
    assert (card.folder / "weights.safetensors").read_bytes() == Path(weights).read_bytes()
    assert call("zoo", "verify", "--score", "trm-nano.own").code == 0
    assert call("zoo", "claim", "trm-nano.plain", "--record", "run").code == 2


def test_weights_without_a_task_are_refused(call: Call, own: Path) -> None:
    said = call("zoo", "add", str(zoo() / NANO / "weights.safetensors"), "--zoo", str(own))
    assert (said.code, "give --task" in said.err) == (2, True)


def test_a_card_without_a_record_says_so(copied: Card) -> None:
    from trm_harness.publish import record_of

    file = copied.folder / "card.toml"
    file.write_text(file.read_text().replace('record = "leaderboards', 'record = "/leaderboards'))
    with pytest.raises(BadInput, match="names no record"):
        record_of(read_card(file))


def test_a_bar_is_chosen_on_validation_and_settled_halting_takes_it(call: Call, own: Path) -> None:
    shutil.copytree(zoo() / NANO, own / "trm-nano.mine")
    file = own / "trm-nano.mine" / "card.toml"
    text = file.read_text().replace(f'name = "{NANO}"', 'name = "trm-nano.mine"')
    file.write_text(text.partition("[halting]")[0].rstrip() + "\n")
    asked = ("eval", "--task", "sudoku-4x4", "--model", "trm-nano.mine", "--limit", "12")
    assert call(*asked, "--split", "validation", "--out", "full").code == 0
    said = call("zoo", "bar", "trm-nano.mine", "--record", "full")
    assert said.code == 0, said.err
    card = named("trm-nano.mine")
    assert card.halting.chosen_on.startswith("sudoku-4x4 validation: 12 of 12 right in 2.")
    assert f"{card.halting.settled_above:g} (sudoku-4x4 validation" in call("zoo", "show", card.name).out
    assert call(*asked, "--halt", "settled", "--out", "settled").code == 0
    assert call(*asked, "--halt", "settled", "--halt-above", "0.25", "--out", "told").code == 0
    bars = {name: read(Path(name)).protocol.halt_above for name in ("settled", "told")}
    assert bars == {"settled": card.halting.settled_above, "told": 0.25}
    # What a score is stated for chooses nothing, and a run that stopped early cannot show what later steps do.
    assert call(*asked, "--out", "test").code == 0
    for run, why in (("test", "is on split test"), ("settled", "is no plain run of full depth")):
        refused = call("zoo", "bar", "trm-nano.mine", "--record", run)
        assert (refused.code, why in refused.err) == (2, True)
