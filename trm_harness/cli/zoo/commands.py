"""``trm-harness zoo``: trained weights and their cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from trm_harness.cli.options import SuggestingGroup, complete, echo_json, facts, json_option, table
from trm_harness.cli.zoo import make

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trm_harness.zoo import Card, Check, Learning


@click.group(cls=SuggestingGroup, name="zoo")
def command() -> None:
    """Trained weights and their cards."""


@command.command(name="list")
@click.argument("pattern", default="*")
@click.option("--task", help="Only cards for this task.")
@json_option
def list_cards(pattern: str, task: str | None, as_json: bool) -> None:
    """List cards; PATTERN is a glob such as 'trm-7m.*'. A star marks the card that its model takes for the task."""
    from fnmatch import fnmatchcase

    from trm_harness.registry import default
    from trm_harness.zoo import best, cards

    registry = default()
    if task is not None:
        registry.tasks.spec(task)
    everything = cards(registry)
    chosen = [card for name, card in everything.items() if fnmatchcase(name, pattern) and task in (None, card.task)]
    # Judged among all cards: a pattern that hides the better card does not make this one the default.
    defaults = {card.name for card in chosen if best(everything.values(), card.architecture, card.task) is card}
    if as_json:
        echo_json([card.mapping() | {"default": card.name in defaults} for card in chosen])
    elif chosen:
        headers = ("CARD", "TASK", "NETWORK", "PUZZLE TABLE", "SCORE", "DEMONSTRATIONS", "STATUS")
        click.echo(table([_row(card, card.name in defaults) for card in chosen], headers))
    else:
        click.echo("no card fits")


@command.command()
@click.argument("name", shell_complete=complete("card"))
@json_option
def show(name: str, as_json: bool) -> None:
    """Show one card in full."""
    from trm_harness.zoo import named

    card = named(name)
    if as_json:
        echo_json(card.mapping())
    else:
        click.echo(facts(_facts(card)))


@command.command()
@click.argument("name", shell_complete=complete("card"))
def path(name: str) -> None:
    """Print the path of a card's weights, after checking their sha256."""
    from trm_harness.zoo import named, weights_path

    click.echo(weights_path(named(name)))


@command.command()
@click.argument("name", metavar="NAME|OWNER/REPOSITORY", shell_complete=complete("card"))
@click.option("--revision", default="main", show_default=True, help="Commit, tag or branch of a repository.")
@click.option("--trust-first", is_flag=True, help="Of a card without a sha256: record the one found, and use it.")
def pull(name: str, revision: str, trust_first: bool) -> None:
    """Fetch a card's weights from its hub repository into the hub client's cache, and print their path.

    OWNER/REPOSITORY brings a whole card that somebody pushed, weights included, into your own zoo ($TRM_HARNESS_ZOO).
    Downloads show their progress, go on where a connection was cut, and count only under the card's sha256.
    HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE mean what they mean to the hub's own client.
    """
    if "/" in name:
        from trm_harness.convert.folder import pull_folder
        from trm_harness.files.paths import own_zoo

        click.echo(pull_folder(name, revision, own_zoo()).folder)
        return
    from trm_harness.zoo import named, weights_path
    from trm_harness.zoo import pull as pull_weights
    from trm_harness.zoo.pins import pin_first

    card = named(name)
    if not card.sha256 and trust_first:
        found = pin_first(card)
        click.echo(f"recorded: {found.sha256} at {found.revision}", err=True)
        click.echo(weights_path(card))
        return
    click.echo(pull_weights(card))


@command.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--score", is_flag=True, help="Evaluate again, and compare with the claimed interval.")
@click.option("--limit", type=click.IntRange(min=1), help="With --score: only the first so many groups, and say so.")
@click.option("--quick", is_flag=True, help="Do not load the weights: leave golden outputs and records out.")
@json_option
def verify(names: tuple[str, ...], score: bool, limit: int | None, quick: bool, as_json: bool) -> None:
    """Check weights against their cards: sha256, layout, metadata, golden outputs, and the record behind the score.

    Without NAME every card whose weights are here is checked. --score also answers the record's puzzles again.
    A check whose puzzles are not on this machine is skipped. Exit code 1 if anything differs.
    """
    from trm_harness.errors import CheckFailed
    from trm_harness.zoo import named

    chosen = [named(name) for name in names] or _all_here()
    results = {}
    for card in chosen:
        results[card.name] = []
        for check in _checks(card, score, limit, quick):
            results[card.name].append(check)
            if not as_json:
                click.echo(f"{check.status:6}  {card.name}  {check.what}: {check.detail}")
    if as_json:
        echo_json(results)
    failed = [name for name, checks in results.items() if not all(check.passed for check in checks)]
    if failed:
        raise CheckFailed(f"{len(failed)} of {len(results)} cards do not match their weights: {', '.join(failed)}")


def _all_here() -> list[Card]:
    """Every card whose weights are on this machine; the others are named on stderr."""
    from trm_harness.registry import default
    from trm_harness.zoo import cards, is_here

    here, away = [], []
    for card in cards(default()).values():
        (here if is_here(card) else away).append(card)
    if away:
        click.echo(f"not fetched, not checked: {', '.join(card.name for card in away)}", err=True)
    return here


def _checks(card: Card, score: bool, limit: int | None, quick: bool) -> Iterator[Check]:
    """The checks of one card, cheap ones first; nothing is loaded from a file that is not the card's."""
    from trm_harness.cli.zoo.make import watching
    from trm_harness.zoo import verify as verify_file

    of_file = verify_file(card)
    yield from of_file
    if quick or not all(check.passed for check in of_file):
        return
    from trm_harness.publish import check_golden, check_record, check_score

    if card.golden:
        yield check_golden(card)
    if card.expected:
        of_record = check_record(card)
        yield from of_record
        if score and all(check.passed for check in of_record):
            with watching() as watchers:
                yield check_score(card, limit, watchers)
    elif score:
        from trm_harness.zoo import Check

        yield Check("score", True, f"the card claims none: it is {card.status}", skipped=True)


for verb in (make.add, make.average, make.bar, make.claim, make.golden, make.import_file, make.export, make.push):
    command.add_command(verb)


def _row(card: Card, is_default: bool) -> list[Any]:
    size = card.parameters
    return [
        f"{card.name}{' *' if is_default else ''}",
        card.task,
        f"{size.network:,}",
        f"{size.puzzle_table:,}",
        _score(card),
        card.training.demonstrations,
        card.status,
    ]


def _score(card: Card) -> str:
    expected = card.expected
    return f"{expected.metric} {100 * expected.value:.1f} % of {expected.n}" if expected else "not known"


def _adapted(how: Learning) -> str:
    from trm_harness.record.describe import counted, learning

    views = [counted(how.views, "view")] if how.views else []
    return ", ".join([learning(how.mode, how.steps, how.lr, how.settings), *views])


def _facts(card: Card) -> dict[str, Any]:
    """The lines of ``show``."""
    training, source, size, expected = card.training, card.source, card.parameters, card.expected
    interval = f" (95 % interval {100 * expected.low:.1f} to {100 * expected.high:.1f})" if expected else ""
    lines: dict[str, Any] = {
        "name": card.name,
        "description": card.description,
        "status": card.status,
        "architecture": card.architecture,
        "task": f"{card.task} (version {card.task_version})",
        "expected": f"{_score(card)}{interval}",
        "record": expected.record if expected else "",
        "network": f"{size.network:,} parameters",
        "puzzle table": f"{size.puzzle_table:,} values, {size.touched_per_puzzle:,} touched per puzzle",
        "effective depth": card.effective_depth,
        "config": card.config,
        "encoding": card.encoding,
        "demonstrations": training.demonstrations,
    }
    for data in training.data:
        count = f", {data.puzzles:,} puzzles" if data.puzzles is not None else ""
        lines[f"trained on {data.name}"] = f"{data.version or 'version not stated'}{count}, sha256 {data.sha256[:12]}"
    return lines | {
        "extra data": training.extra_data,
        "checkpoint": training.checkpoint_choice,
        "recipe": training.recipe,
        "hardware": training.hardware,
        "seconds": training.seconds,
        "steps": training.steps,
        "seed": training.seed,
        "notes": training.notes,
        "license": card.license,
        "authors": card.authors,
        "paper": card.paper,
        "weights": source.file or f"{source.hub}@{source.revision[:12]}: {source.filename}",
        "sha256": card.sha256,
        "settled above": f"{card.halting.settled_above:g} ({card.halting.chosen_on})" if card.halting else "",
        "adapted": _adapted(card.adaptation) if card.adaptation else "",
        "golden outputs": card.golden,
    }
