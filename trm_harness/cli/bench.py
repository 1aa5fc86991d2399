"""``trm-harness bench``: how fast things are on this machine, as ratios within one run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from trm_harness.cli.options import complete, data_option, device_option, echo_json, json_option, table

_MB = 1e6

task_option: Callable[[Any], Any] = click.option(
    "--task", "task_id", required=True, metavar="TASK", shell_complete=complete("task"), help="Task to measure on."
)
model_option: Callable[[Any], Any] = click.option(
    "--model", "model_id", required=True, metavar="MODEL", shell_complete=complete("model"), help="A card or model."
)
repeats_option: Callable[[Any], Any] = click.option(
    "--repeats", type=click.IntRange(min=1), default=5, show_default=True, help="Turns; the median counts."
)
out_option: Callable[[Any], Any] = click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    callback=lambda ctx, parameter, path: _writable(path),
    help="Write everything measured to FILE as JSON.",
)
against_option: Callable[[Any], Any] = click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A checkout of the reference repository, run beside ours on the same weights and batch. Its code is executed.",
)
threads_option: Callable[[Any], Any] = click.option("--threads", type=click.IntRange(min=1), help="CPU threads.")


@click.group()
def command() -> None:
    """Measure speed: eval, train, data, score, cli.

    What is compared runs by turns in one process, so that a busy machine slows both; the median of the turns counts.
    With --threads 1 on a CPU, seconds are the CPU's own.
    """


@command.command("eval")
@task_option
@model_option
@click.option("--split", help="Which puzzles.  [default: the task's own]")
@click.option("--dtype", type=click.Choice(["auto", "float32", "bfloat16"]), default="auto", show_default=True)
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True, help="Puzzles at once.")
@click.option("--steps", type=click.IntRange(min=1), help="Supervision steps.  [default: the model's own]")
@click.option(
    "--halt-above",
    type=click.FloatRange(0, 1, True, True),
    default=0.5,
    show_default=True,
    help="Adaptive halting's bar.",
)
@click.option("--weights", type=click.Path(path_type=Path), help="A safetensors file instead of the zoo's weights.")
@click.option("--untrained", is_flag=True, help="Random weights: speed alone.")
@click.option("--compile", "compiled", is_flag=True, help="Measure torch.compile at full depth too.")
@against_option
@device_option
@threads_option
@repeats_option
@data_option
@out_option
@json_option
def eval_command(**choices: Any) -> None:
    """Puzzles answered a second: full depth, settled and adaptive halting, compiled, and the reference."""
    from trm_harness.api import load_model
    from trm_harness.bench.inference import Question, bench
    from trm_harness.machine import use_threads

    if choices["threads"]:
        use_threads(choices["threads"])
    named = ("device", "dtype", "weights", "untrained", "data")
    loaded = load_model(choices["model_id"], choices["task_id"], **{name: choices[name] for name in named})
    split = choices["split"] or loaded.task.spec.default_split
    question = Question(
        split,
        choices["batch_size"],
        choices["repeats"],
        choices["steps"] or 0,
        choices["halt_above"],
        _settled_above(loaded.launch.card, choices["halt_above"]),
        choices["compiled"],
        choices["against"],
    )
    found = bench(loaded, question)
    _tell(found, choices, _eval_lines(found))


def _settled_above(card: str, otherwise: float) -> float:
    """The bar of settled halting: the card's own where it has one."""
    from trm_harness.zoo import named

    halting = named(card).halting if card else None
    return halting.settled_above if halting else otherwise


@command.command("train")
@task_option
@model_option
@click.option("--recipe", metavar="NAME", help="A TOML file, a card's name, or a tag: paper.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change the recipe.")
@click.option("--no-compile", is_flag=True, help="Measure without torch.compile only.")
@click.option(
    "--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Processes that draw batches ahead."
)
@against_option
@device_option
@threads_option
@repeats_option
@data_option
@out_option
@json_option
def train_command(**choices: Any) -> None:
    """Training steps a second, compiled and not, the time spent waiting for batches, and the reference."""
    from trm_harness.bench.training import Question, bench
    from trm_harness.train.recipe import with_settings
    from trm_harness.train.session import Job, find_recipe

    recipe = find_recipe(choices["recipe"], choices["model_id"], choices["task_id"])[1]
    job = Job(
        choices["task_id"],
        choices["model_id"],
        with_settings(recipe, choices["settings"]),
        data=str(choices["data"] or ""),
        device=choices["device"],
        threads=choices["threads"] or 0,
    )
    question = Question(choices["repeats"], not choices["no_compile"], choices["workers"], choices["against"])
    found = bench(job, question)
    _tell(found, choices, _train_lines(found))


@command.command("data")
@task_option
@click.option("--batch-size", type=click.IntRange(min=1), default=128, show_default=True, help="Examples at once.")
@repeats_option
@data_option
@out_option
@json_option
def data_command(**choices: Any) -> None:
    """Training examples drawn a second, and the memory that takes."""
    from trm_harness.bench.data import bench

    found = bench(choices["task_id"], choices["data"], choices["batch_size"], choices["repeats"])
    rows = [[name, f"{row['examples_per_s']:,.0f}"] for name, row in found["rows"].items()]
    memory = found["memory_bytes"]
    told = f"memory: {memory['added'] / _MB:,.0f} MB added, of {memory['at_the_end'] / _MB:,.0f} MB in all"
    total = f"all buckets by their shares: {found['examples_per_s']:,.0f} examples/s"
    _tell(found, choices, [table(rows, ("bucket", "examples/s")), total, told])


@command.command("score")
@task_option
@click.option("--split", help="Whose puzzles.  [default: the task's own]")
@click.option(
    "--puzzles",
    type=click.IntRange(min=1),
    help="How many; more than the split has are its own again under other names.  [default: the split's]",
)
@click.option("--views", type=click.IntRange(min=1), default=1, show_default=True, help="Voting views of a puzzle.")
@click.option("--steps", type=click.IntRange(min=1), default=16, show_default=True, help="Steps of an answer.")
@repeats_option
@data_option
@out_option
@json_option
def score_command(**choices: Any) -> None:
    """Made-up answers written, voted and scored a second, and the memory that takes: a quarter, half, all."""
    from trm_harness.bench.scoring import Question, bench

    named = ("split", "data", "views", "steps", "repeats")
    asked = {name: choices[name] for name in named}
    found = bench(Question(task=choices["task_id"], puzzles=choices["puzzles"] or 0, **asked))
    _tell(found, choices, _score_lines(found))


@command.command("cli")
@repeats_option
@out_option
@json_option
def cli_command(**choices: Any) -> None:
    """Seconds that commands take to start, and what they import."""
    from trm_harness.bench.startup import bench

    found = bench(choices["repeats"])
    rows = [
        [name, f"{row['median_s']:.3f}", f"{row['high_s']:.3f}", " ".join(row.get("imports", ())) or "-"]
        for name, row in found["rows"].items()
    ]
    lines = [table(rows, ("command", "median s", "slowest s", "heavy imports")), f"target: {found['target_s']} s"]
    _tell(found, choices, lines)


def _eval_lines(found: dict[str, Any]) -> list[str]:
    lines = _rows(found, f"batch of {found['batch']} puzzles of {found['tokens']} cells, {found['steps']} steps")
    agreement = found["agreement"]
    if agreement.get("compared"):
        lines.append(
            f"answers equal to the reference's: {agreement['equal_answers']} of {agreement['of']}; "
            f"largest difference of a logit {agreement['largest_logit_difference']:.2g}"
        )
    return lines


def _train_lines(found: dict[str, Any]) -> list[str]:
    input_, agreement = found["input"], found["agreement"]
    lines = _rows(found, f"batch of {found['batch']}")
    if agreement:
        lines.append(f"without the optimizer\n{_table(found['without_optimizer'], 'reference')}")
        lines.append(
            f"first step: loss {agreement['loss']:.6g}, the reference's {agreement['reference_loss']:.6g}; largest "
            f"difference of a gradient {agreement['largest_gradient_difference']:.2g} of the largest one"
        )
    return [
        *lines,
        f"a batch is drawn in {1e3 * input_['median_s']:.1f} ms; with {input_['workers']} workers training waits for "
        f"batches {100 * input_['stall_share']:.1f} % of its time",
    ]


def _score_lines(found: dict[str, Any]) -> list[str]:
    rows = [
        [
            f"{row['puzzles']:,}",
            f"{row['rows']:,}",
            f"{row['journal_bytes'] / _MB:,.0f} MB",
            f"{row['rows'] / row['written_s']:,.0f}",
            f"{row['median_s']:.2f}",
            f"{row['low_s']:.2f}-{row['high_s']:.2f}",
            f"{row['rows_per_s']:,.0f}",
            f"{row['peak_memory_bytes'] / _MB:,.0f} MB",
        ]
        for row in found["rows"]
    ]
    heads = ("puzzles", "answers", "journal", "written/s", "scored in s", "range s", "scored/s", "peak memory")
    what = f"{found['task']}, split {found['split']} with {found['puzzles_of_its_own']:,} puzzles of its own"
    return [f"{what}; {found['views']} views, {found['steps']} steps, answers made up", table(rows, heads)]


def _rows(found: dict[str, Any], what: str) -> list[str]:
    machine = found["machine"]
    return [
        f"{found['model']} on {found['task']}, {found['dtype']}, {what}, {machine['device_name']}"
        f"{', seconds of CPU time' if found['clock'] == 'cpu' else ''}",
        _table(found["rows"], found["measured_beside"]),
        f"matrix products reach {found['matmul_peak_flops'] / 1e9:,.0f} GFLOP/s here; "
        f"peak memory {machine['peak_memory_bytes'] / _MB:,.0f} MB",
    ]


def _table(measured: dict[str, Any], beside: str) -> str:
    rows = [
        [
            name,
            f"{row['median_s']:.3f}",
            f"{row['low_s']:.3f}-{row['high_s']:.3f}",
            f"{row['examples_per_s']:,.1f}",
            f"{row['speed']:.2f}x",
            f"{100 * row['mfu']:.0f} %" if "mfu" in row else "-",
        ]
        for name, row in measured.items()
    ]
    return table(rows, ("way", "median s", "range s", "examples/s", f"beside {beside}", "of peak"))


def _tell(found: dict[str, Any], choices: dict[str, Any], lines: list[str]) -> None:
    from trm_harness.record.environment import public_command

    found["command"] = public_command(["trm-harness", *sys.argv[1:]])
    if choices["out"] is not None:
        from trm_harness.cli.options import plain
        from trm_harness.files.write import write_text

        write_text(choices["out"], json.dumps(plain(found), indent=1) + "\n")
    if choices["as_json"]:
        return echo_json(found)
    return click.echo("\n".join(lines))


def _writable(path: Path | None) -> Path | None:
    """``path``, or ``BadInput`` at once for one that could not be written after minutes of measuring."""
    import os

    from trm_harness.errors import BadInput

    if path is not None and (path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK)):
        raise BadInput(f"{path} cannot be written: give --out a file in a folder that is there")
    return path
