"""``trm-harness zoo add | claim | golden``: cards made from what training and evaluation leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trm_harness.cli.options import table

if TYPE_CHECKING:
    from trm_harness.evaluate import Watchers
    from trm_harness.zoo import Card

zoo_option = click.option(
    "--zoo",
    "folder",
    type=click.Path(path_type=Path),
    help="Folder of cards.  [default: $TRM_HARNESS_ZOO, else zoo/ of the checkout you stand in, else your own]",
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
@click.option("--license", default=None, help="Of the weights.  [default, for models of the harness: Apache-2.0]")
@click.option("--author", "authors", multiple=True, help="Once for each author.")
@click.option("--trained-on", multiple=True, help="What a file that declares nothing was trained on, in words.")
@click.option("--golden", type=click.IntRange(min=0), default=8, show_default=True, help="Golden outputs to record.")
@click.option("--golden-steps", type=click.IntRange(min=1), help="Steps of the golden outputs.  [default: the model's]")
@click.option("--replace", is_flag=True, help="Take the place of a card of that name.")
@zoo_option
def add(weights: Path, replace: bool, folder: Path | None, **options: Any) -> None:
    """Make a card of WEIGHTS, with recipe, curve, score, record and golden outputs.

    Without --record or --evaluate the card is "unverified". Example:
    trm-harness zoo add out/weights.safetensors --train-run out --evaluate --dtype bfloat16
    """
    from trm_harness.files.paths import zoo_here
    from trm_harness.publish.card import Addition, add_card

    given = {name: value for name, value in options.items() if value not in (None, ())}
    with watching() as watchers:
        card = add_card(Addition(weights, **given), folder or zoo_here(), replace, watchers)
    score = f"{card.expected.metric} {card.expected.value:.4f} of {card.expected.n}" if card.expected else "no score"
    click.echo(f"{card.folder}: {card.status}, {score}, sha256 {card.sha256[:12]}")
    click.echo(f"check it: trm-harness zoo verify --score {card.name}")


@click.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--arch", help="trm, trm_singlez, trm_hier6, hrm, transformers_baseline (the reference's) or a model.")
@click.option("--task", help="Task that the checkpoint answers.")
@click.option("--name", default="", help="The card's name, architecture.tag.  [default: from the model and the file]")
@click.option("--config", type=click.Path(path_type=Path), help="The reference's all_config.yaml.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting that the file does not tell.")
@click.option(
    "--rows",
    type=click.Choice(["auto", "all", "evaluation", "blank"]),
    default="auto",
    show_default=True,
    help="Rows of the puzzle table to keep; auto: the evaluation tasks' of a table of over 10,000 rows.",
)
@click.option("--views", type=click.IntRange(min=1), help="Keep so many rows of each task at most, its own first.")
@click.option("--identifiers", type=click.Path(path_type=Path), help="The data set's identifiers.json: names of rows.")
@click.option(
    "--which", type=click.Choice(["auto", "ema", "raw"]), default="auto", show_default=True, help="Of a file with both."
)
@click.option("--dtype", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True)
@click.option(
    "--format",
    "format",
    type=click.Choice(["auto", "reference", "trm-harness"]),
    default="auto",
    show_default=True,
    help="Whose names the tensors have.",
)
@click.option("--license", default=None, help="Of the weights; must be told of safetensors.  [default: unknown]")
@click.option("--author", "authors", multiple=True, help="Once for each author; must be told of safetensors.")
@click.option("--trained-on", multiple=True, help="What they were trained on, in words; once for each set of data.")
@click.option(
    "--zoo",
    "folder",
    type=click.Path(path_type=Path),
    help="Folder of cards.  [default: $TRM_HARNESS_ZOO]",
)
def import_file(file: Path, folder: Path | None, settings: tuple[str, ...], **options: Any) -> None:
    """Convert FILE, a checkpoint of the reference implementation or other safetensors, to ours with an unverified card.

    FILE may be the name of a card whose weights are such a checkpoint: it gives what the file does not tell. Only
    tensors are read; a file that holds anything else is refused, and nothing in it is run. Every setting is printed
    with its origin: what neither shapes nor a configuration tell is assumed, so check it.
    """
    from trm_harness.convert.importer import Import, import_checkpoint, not_said
    from trm_harness.files.paths import own_zoo
    from trm_harness.loading.choices import settings_of

    known = {} if file.exists() else _of_card(str(file))
    given = {name: value for name, value in options.items() if value not in (None, (), "")}
    chosen = {"file": file, **known, **given}
    chosen["settings"] = {**known.get("settings", {}), **settings_of(settings)}
    for name in ("arch", "task"):
        if name not in chosen:
            raise click.UsageError(f"a checkpoint does not say: give --{name}")
    done = import_checkpoint(Import(**chosen), folder or own_zoo())
    rows = [(setting.name, str(setting.value), setting.how) for setting in done.settings]
    click.echo(table(rows, ("SETTING", "VALUE", "FROM")))
    click.echo("".join(f"{note}\n" for note in done.notes) + f"card: {done.card.folder}")
    if lacking := not_said(done.card):
        lost = "whose these weights are and what they were trained on is unknown on the card, in whole or in part"
        click.echo(f"warning: {lost}: import them with {', '.join(lacking)}, as their publishers state it", err=True)
    click.echo(f"score it: trm-harness eval --task {done.card.task} --model {done.card.name}")


def _of_card(name: str) -> dict[str, Any]:
    """What a card of a reference checkpoint tells of the file it names."""
    from trm_harness.errors import BadInput
    from trm_harness.zoo import named, weights_path

    card = named(name)
    if card.source.format != "reference":
        raise BadInput(f"card {name} holds weights of this harness: nothing is to be imported")
    told = {"task": card.task, "license": card.license, "authors": card.authors, "training": card.training}
    told |= {"arch": card.architecture, "name": f"{name}-imported", "settings": dict(card.config)}
    return {"file": weights_path(card), **told}


@click.command()
@click.argument("weights", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="New file for the mean.")
def average(weights: tuple[str, ...], out: Path) -> None:
    """Write the mean of several WEIGHTS (files or cards) of one network, from runs that began with the same weights.

    Where training is noisy the mean is often better than each of them; score it on validation. Example:
    trm-harness zoo average one/weights.safetensors two/weights.safetensors --out mean.safetensors
    """
    from trm_harness.convert.average import average
    from trm_harness.zoo import named, weights_path

    average([Path(name) if Path(name).is_file() else weights_path(named(name)) for name in weights], out)
    click.echo(f"{out}: the mean of {len(weights)}")


@click.command()
@click.argument("name")
@click.option(
    "--format",
    "form",
    type=click.Choice(["safetensors", "reference", "hub"]),
    default="hub",
    show_default=True,
    help="The bare file; a checkpoint, configuration and identifiers of the reference; a folder that a hub takes.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="New file (safetensors) or new folder.")
def export(name: str, form: str, out: Path) -> None:
    """Write card NAME's weights in another form."""
    from trm_harness.zoo import named

    card = named(name)
    if form == "reference":
        from trm_harness.convert.export import export_reference

        for path in export_reference(card, out):
            click.echo(path)
    elif form == "safetensors":
        from trm_harness.convert.export import export_safetensors

        click.echo(export_safetensors(card, out))
    else:
        click.echo(_hub_folder(card, out))


@click.command()
@click.argument("name")
@click.argument("repository", metavar="OWNER/REPOSITORY")
@click.option("--private", is_flag=True, help="Make the repository a private one, if it has to be made.")
@click.option("--revision", default="main", show_default=True, help="Branch to commit to.")
def push(name: str, repository: str, private: bool, revision: str) -> None:
    """Upload card NAME to a hub repository: weights, model card, our card, golden outputs and record in one commit.

    HF_ENDPOINT and the client's token are used. `zoo pull OWNER/REPOSITORY` brings it back anywhere.
    """
    from tempfile import TemporaryDirectory

    from trm_harness.files.hub import upload
    from trm_harness.zoo import named

    card = named(name)
    with TemporaryDirectory() as temporary:
        commit = upload(_hub_folder(card, Path(temporary) / card.name), repository, private, revision)
    click.echo(f"{repository} is at commit {commit}")
    click.echo(f"get it anywhere: trm-harness zoo pull {repository}")


def _hub_folder(card: Card, out: Path) -> Path:
    from trm_harness.convert.folder import export_hub
    from trm_harness.publish import record_of

    return export_hub(card, out, record_of(card) if card.expected else None)


@click.command()
@click.argument("name")
@click.option("--record", type=click.Path(path_type=Path), required=True, help="A finished run of the card's weights.")
def claim(name: str, record: Path) -> None:
    """State a run's score on card NAME, and file the run as the record behind it."""
    from trm_harness.cli.runs.commands import find_run
    from trm_harness.publish.card import file_record

    card = file_record(_card_here(name), find_run(str(record)))
    assert card.expected is not None
    click.echo(f"{card.name}: {card.expected.metric} {card.expected.value:.4f} of {card.expected.n}")
    click.echo(f"record {card.expected.record}")
    click.echo(f"card {card.folder}")


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--count", type=click.IntRange(min=1), default=8, show_default=True, help="Puzzles to record.")
@click.option("--steps", type=click.IntRange(min=1), help="Supervision steps.  [default: the model's own]")
def golden(names: tuple[str, ...], count: int, steps: int | None) -> None:
    """Record golden outputs beside cards: a few puzzles' answers that `zoo verify` then asks for again.

    Kept are answers on which float32 and bfloat16 agree, so that rounding elsewhere does not change them.
    """
    from trm_harness.publish import make_golden
    from trm_harness.publish.golden import read_golden
    from trm_harness.zoo.write import change_card

    for name in names:
        card = _card_here(name)
        file = make_golden(card, count, steps)
        card = change_card(card, golden=file.name)
        click.echo(f"{file}: {len(read_golden(card).answers)} answers")


@click.command()
@click.argument("name")
@click.option("--record", required=True, metavar="RUN", help="A finished full-depth run of the card's weights.")
def bar(name: str, record: str) -> None:
    """Choose card NAME's bar for --halt settled: the fewest steps at no loss, on the puzzles of a run.

    The run is one on validation puzzles: trm-harness eval --task TASK --model NAME --split validation
    """
    from trm_harness.cli.runs.commands import find_run
    from trm_harness.publish.bar import choose_bar

    before = _card_here(name)
    card, bars = choose_bar(before, find_run(record))
    rows = [(f"{one.threshold:g}", one.mean_steps, f"{one.correct} of {one.n}") for one in bars]
    click.echo(table(rows, ("BAR", "MEAN STEPS", "RIGHT")))
    if card is before:
        click.echo(f"{name}: every bar loses accuracy there, none is written")
    else:
        click.echo(f"{name}: {card.halting.settled_above:g}, {card.halting.chosen_on}")


def _card_here(name: str) -> Card:
    """The card called ``name``: of the checkout one stands in if it has one, whichever checkout runs."""
    from trm_harness.files.paths import here
    from trm_harness.zoo import CARD_FILE, named, read_card

    root = here()
    file = root / "zoo" / name / CARD_FILE if root else None
    return read_card(file) if file and file.is_file() else named(name)


@contextmanager
def watching() -> Iterator[Watchers]:
    """Progress and messages of an evaluation on stderr."""
    from trm_harness.evaluate import Watchers
    from trm_harness.progress import progress

    with progress() as show:
        yield Watchers(progress=show, say=lambda text: click.echo(text, err=True))
