"""``trm-harness zoo add | claim | golden``: cards made from what training and evaluation leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from trm_harness.evaluate import Watchers

zoo_option = click.option(
    "--zoo",
    "folder",
    type=click.Path(path_type=Path),
    help="Folder of cards to write to.  [default: the checkout's zoo/, else $TRM_HARNESS_ZOO or your data folder]",
)


@click.command()
@click.argument("weights", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--name", default="", help="The card's name, architecture.tag.  [default: model.task]")
@click.option("--train-run", "run", type=click.Path(path_type=Path), help="The training run's folder (its train.json).")
@click.option(
    "--record", type=click.Path(path_type=Path), help="A finished run of these very weights: the card's score."
)
@click.option("--evaluate", is_flag=True, help="Evaluate the weights now, on the task's default split, for the score.")
@click.option("--limit", type=click.IntRange(min=1), help="With --evaluate: only the first so many groups.")
@click.option("--model", "architecture", default="", help="Model id.  [default: the training run's, else the nearest]")
@click.option("--task", default="", help="Task.  [default: the training run's]")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16"]), default=None, help="Convert the stored tensors.")
@click.option("--description", default="", help="One sentence for a reader.")
@click.option("--hardware", default="", help="What it was trained on.  [default: what train.json says]")
@click.option("--checkpoint-choice", default="", help="How the checkpoint was chosen.  [default: what the file says]")
@click.option("--notes", default="", help="Anything else a reader of the score must know.")
@click.option("--recipe", type=click.Path(path_type=Path, exists=True), help="Recipe file.  [default: from train.json]")
@click.option("--license", default=None, help="Of the weights.  [default: Apache-2.0]")
@click.option("--author", "authors", multiple=True, help="Once for each author.")
@click.option("--golden", type=click.IntRange(min=0), default=8, show_default=True, help="Golden outputs to record.")
@click.option("--golden-steps", type=click.IntRange(min=1), help="Steps of the golden outputs.  [default: the model's]")
@click.option("--replace", is_flag=True, help="Take the place of a card of that name.")
@zoo_option
def add(weights: Path, replace: bool, folder: Path | None, **options: Any) -> None:
    """Make a card of WEIGHTS, with recipe, score, record and golden outputs.

    Without --record or --evaluate the card is "unverified". Example:
    trm-harness zoo add out/weights.safetensors --train-run out --evaluate --dtype bfloat16
    """
    from trm_harness.curate import Addition, add_card

    given = {name: value for name, value in options.items() if value not in (None, ())}
    with watching() as watchers:
        card = add_card(Addition(weights, **given), folder or default_folder(), replace, watchers)
    score = f"{card.expected.metric} {card.expected.value:.4f} of {card.expected.n}" if card.expected else "no score"
    click.echo(f"{card.folder}: {card.status}, {score}, sha256 {card.sha256[:12]}")
    click.echo(f"check it: trm-harness zoo verify --score {card.name}")


@click.command()
@click.argument("name")
@click.option("--record", type=click.Path(path_type=Path), required=True, help="A finished run of the card's weights.")
def claim(name: str, record: Path) -> None:
    """State a run's score on card NAME, and file the run as the record behind it."""
    from trm_harness.cli.runs import find_run
    from trm_harness.curate import file_record
    from trm_harness.zoo import named

    card = file_record(named(name), find_run(str(record)))
    assert card.expected is not None
    click.echo(f"{card.name}: {card.expected.metric} {card.expected.value:.4f} of {card.expected.n}")
    click.echo(f"record {card.expected.record}")


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--count", type=click.IntRange(min=1), default=8, show_default=True, help="Puzzles to record.")
@click.option("--steps", type=click.IntRange(min=1), help="Supervision steps.  [default: the model's own]")
def golden(names: tuple[str, ...], count: int, steps: int | None) -> None:
    """Record golden outputs beside cards: a few puzzles' answers that `zoo verify` then asks for again.

    Kept are answers on which float32 and bfloat16 agree, so that rounding elsewhere does not change them.
    """
    from trm_harness.trust import make_golden
    from trm_harness.trust.golden import read_golden
    from trm_harness.zoo import named
    from trm_harness.zoo.write import change_card

    for name in names:
        card = named(name)
        file = make_golden(card, count, steps)
        card = change_card(card, golden=file.name)
        click.echo(f"{file}: {len(read_golden(card).answers)} answers")


def default_folder() -> Path:
    """Where new cards go: the shipped zoo of a checkout, else the user's own."""
    from trm_harness.paths import checkout, own_zoo, zoo

    return zoo() if checkout() else own_zoo()


@contextmanager
def watching() -> Iterator[Watchers]:
    """Progress and messages of an evaluation on stderr."""
    from trm_harness.cli.progress import progress
    from trm_harness.evaluate import Watchers

    with progress() as show:
        yield Watchers(progress=show, say=lambda text: click.echo(text, err=True))
