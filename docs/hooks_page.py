"""The hooks: signatures and docstrings from the source, one example each. ``docs/build.py`` writes the page."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import source_text as source

PAGE = Path(__file__).parent / "reference" / "hooks.md"

HEAD = """# Hooks

*Signatures and first lines are written from `trm_harness/hookspecs.py` by `python docs/build.py`.*

A plugin is an installed distribution with an entry point in the group `trm_harness` that names its *manifest*, a
module:

```toml
[project.entry-points.trm_harness]
latin = "trm_task_latin"
```

The manifest decorates functions of the names below with `trm_harness.hookimpl`. A hook may take fewer arguments than it
is given, but no others. Rules that hold for all of them:

- A manifest imports the standard library and `trm_harness` (the package root) and nothing heavy: every command imports
  it. `doctor` warns above 50 ms.
- A manifest that raises, misspells a hook or claims a name that is taken is *quarantined*: the command goes on without
  it, one warning says why, `plugins list` shows the traceback, `doctor` exits 1.
- Hook wrappers are refused: a plugin cannot come between the harness and another plugin.
- `TRM_HARNESS_DISABLE=name,...` switches plugins off by their name or distribution, `*` all third-party ones.

"""

EXAMPLES: Mapping[str, str] = {
    "register_tasks": """
@hookimpl
def register_tasks(register):
    register(TaskSpec(
        id="latin-5x5", version=1, target="trm_task_latin.task:Latin", title="Latin square 5x5",
        description="Fill the blanks so that no symbol repeats in a row or column.",
        vocab_size=7, seq_len=25, splits=("train", "test"), family="latin",
    ))
""",
    "register_models": """
@hookimpl
def register_models(register):
    register(ModelSpec(
        id="first-candidate", version=1, target="trm_model_first.model:First", title="First candidate",
        description="Fills every blank with the first symbol that fits.", family="solver", tasks=("latin-*",),
    ))
""",
    "register_trainers": """
@hookimpl
def register_trainers(register):
    register(TrainerSpec(
        id="slow", version=1, target="trm_trainer_slow.trainer:train", title="Slow trainer",
        description="One row at a time.",
    ))
""",
    "register_cards": """
@hookimpl
def register_cards(register):
    # zoo() returns a folder that holds <name>/card.toml for each card
    register(CardsSpec(id="latin-zoo", target="trm_task_latin.folders:zoo"))
""",
    "register_claims": """
@hookimpl
def register_claims(register):
    # claims() returns a folder of CSV files of reported scores
    register(ClaimsSpec(id="latin-claims", target="trm_task_latin.folders:claims"))
""",
    "register_commands": """
@hookimpl
def register_commands(cli):
    import click  # here, not above: only this hook needs it

    cli.add_command(click.Command("latin", callback=lambda: click.echo("hello"), help="Say hello."))
""",
    "run_started": """
@hookimpl
def run_started(run):
    print(run.id, run.task.id, run.model.id)
""",
    "batch_predicted": """
@hookimpl
def batch_predicted(run, batch):
    for row in batch:
        print(row.puzzle, row.view, row.halts[-1])
""",
    "run_finished": """
@hookimpl
def run_finished(run, record):
    print(record.status, record.headline and record.headline.value)
""",
}
"""Hook -> an implementation. A hook without one is an error here, so that none goes undocumented."""

DECLARING = "Called by every command, before names are looked up. Nothing behind a target is imported."
OBSERVING = "It observes: an exception in it becomes one warning, and the run goes on."


def pages() -> dict[Path, str]:
    """The page."""
    hooks = [node for node in source.public(source.tree("hookspecs.py"), ast.FunctionDef) if node.decorator_list]
    missing = [node.name for node in hooks if node.name not in EXAMPLES]
    if missing:
        raise SystemExit(f"hook {missing[0]} has no example: add one to EXAMPLES of {__file__}")
    return {PAGE: HEAD + "\n".join(map(_section, hooks))}


def _section(node: ast.FunctionDef) -> str:
    when = DECLARING if node.name.startswith("register_") else OBSERVING
    when = "Called when a verb is not one of the harness' own, and for `--help`." if "commands" in node.name else when
    parts = [f"## {node.name}", f"```python\n{source.signature(node)}\n```", source.told(node), when]
    return "\n\n".join([*parts, f"```python\n{EXAMPLES[node.name].strip()}\n```\n"])
