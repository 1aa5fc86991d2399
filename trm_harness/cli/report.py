"""A record as a person reads it. Works on the JSON form, so that showing a run imports nothing heavy."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from trm_harness.cli.options import dollars, printable, table
from trm_harness.progress import duration

DEMONSTRATIONS = {
    "inductive": "inductive: no demonstration of the evaluated tasks was trained on",
    "per-task": "per-task: trained on each evaluated task's demonstrations by itself",
    "joint": "joint: trained on the evaluated tasks' demonstrations, all together",
    "unknown": "unknown: nothing is declared",
}

CHOICES = {
    "mode": "most votes",
    "halt": "highest halting logit",
    "oracle": "UPPER BOUND, right if any answer is",
}


def text(record: Any) -> str:
    """What ``eval`` and ``runs show`` print: what ran, its scores, what they rest on."""
    run = record if isinstance(record, Mapping) else record.model_dump(mode="json")
    lines = dict(_lines(run))
    width = max(map(len, lines))
    head = "\n".join(f"{name.ljust(width)}  {printable(str(value))}" for name, value in lines.items())
    return "\n\n".join([head, *filter(None, [scores(run), selections(run)])]) + "\n" * bool(run["scores"])


def scores(run: Mapping[str, Any]) -> str:
    """The table of scores; a vote of one answer is the single pass and is not shown twice."""
    shown = [entry for entry in run["scores"] if entry["pooling"] == "voted" or answers(run) > 1]
    rows = [
        (
            f"{entry['name']}{' *' if entry == run['headline'] else ''}",
            entry["rule"],
            pooled(run, entry),
            f"{100 * entry['value']:.2f} %",
            fraction(entry),
            interval(entry),
        )
        for entry in shown
    ]
    return table(rows, ("SCORE", "RULE", "ANSWERS", "VALUE", "OF", "95 % INTERVAL")) if rows else ""


def selections(run: Mapping[str, Any]) -> str:
    """The headline by each way of choosing, for a run of several trajectories; the oracle is called what it is."""
    if run["protocol"]["restarts"] == 1 or not run.get("selections"):
        return ""
    rows = [
        (
            f"{entry['select']}: {CHOICES[entry['select']]}",
            entry["name"],
            f"{100 * entry['value']:.2f} %",
            fraction(entry),
            interval(entry),
        )
        for entry in run["selections"]
        if has_halting(run) or entry["select"] != "halt"
    ]
    return table(rows, ("CHOSEN BY", "SCORE", "VALUE", "OF", "95 % INTERVAL"))


def pooled(run: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """What one answer was made of: ``single pass``, ``8 views vote``, ``2 views x 8 trajectories, highest halt``."""
    from trm_harness.record import describe

    if entry["pooling"] == "single" or answers(run) == 1:
        return single(run)
    counts = describe.answers(entry["views"], entry.get("trajectories", 1), run["model"]["family"])
    return describe.pooled(counts, entry.get("select", "mode"))


def single(run: Mapping[str, Any]) -> str:
    """What the curves and measures rest on: the first trajectory of the identity view."""
    from trm_harness.record import describe

    return describe.single(run["protocol"])


def answers(run: Mapping[str, Any]) -> int:
    """Answers of a puzzle, all views and trajectories together."""
    from trm_harness.record import describe

    return describe.views(run["protocol"]) * run["protocol"]["restarts"]


def fraction(entry: Mapping[str, Any]) -> str:
    """``3.5/12 tasks``."""
    return f"{round(entry['numerator'], 2):g}/{entry['denominator']} {entry['unit']}"


def interval(entry: Mapping[str, Any]) -> str:
    """``41.2-78.9 (wilson)``."""
    if entry["low"] is None:
        return "none"
    return f"{100 * entry['low']:.1f}-{100 * entry['high']:.1f} ({entry['interval_method']})"


def task_name(run: Mapping[str, Any]) -> str:
    """The task; of puzzles that are not its published ones also where they were, and the start of their sha256."""
    task = run["task"]
    return f"{task['id']}, {own_data(run)}" if task.get("own_data") else task["id"]


def own_data(run: Mapping[str, Any]) -> str:
    """``own data my-puzzles, sha256 1a2b3c4d5e6f``: the folder or file as the run's command names it."""
    words = shlex.split(run["command"])
    given = [words[index + 1] for index, word in enumerate(words[:-1]) if word == "--data"]
    given += [word.removeprefix("--data=") for word in words if word.startswith("--data=")]
    return f"own data{f' {given[-1]}' if given else ''}, sha256 {run['task']['data_sha256'][:12]}"


def model_name(run: Mapping[str, Any]) -> str:
    """The card if there is one, whom a chat endpoint was asked for, and a word of warning for random weights."""
    model = run["model"]
    served = f" {model['config'].get('model', '')}" if model["family"] == "llm" else ""
    return f"{model['card'] or model['id']}{served}{' (UNTRAINED)' if model['untrained'] else ''}"


def is_service(run: Mapping[str, Any]) -> bool:
    """Whether somebody else's machine answered."""
    from trm_harness.record import describe

    return describe.is_service(run["model"]["family"])


def has_halting(run: Mapping[str, Any]) -> bool:
    """Whether halting scores say anything of its answers."""
    from trm_harness.record import describe

    return run["model"]["family"] not in describe.HALTLESS


def headline(run: Mapping[str, Any]) -> str:
    """``pass@2 50.0 % (1/2 tasks)``; how far it got where there is no score."""
    entry, progress = run["headline"], run["progress"]
    if entry:
        return f"{entry['name']} {100 * entry['value']:.2f} % ({fraction(entry)})"
    return "answers hidden" if run["status"] == "success" else f"{progress['rows']:,}/{progress['total']:,} answers"


def _lines(run: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Facts above the table."""
    from trm_harness.record import describe

    task, model, chosen, cost = run["task"], run["model"], run["selection"], run["cost"]
    yield "run", f"{run['id']}: {run['status']}{': ' if run['message'] else ''}{run['message']}"
    source = own_data(run) if task.get("own_data") else task["source"]
    yield "task", f"{task['id']} (version {task['version']}), split {task['split']}, {source}"
    yield "asked", describe.selection(chosen, task)
    size = f"{model['network_parameters']:,} network parameters"
    if model["puzzle_table_parameters"]:
        size += f" + a puzzle table of {model['puzzle_table_parameters']:,} values"
        size += f" ({model['touched_per_puzzle']:,} touched per puzzle)"
    yield "model", f"{model_name(run)}, {size if model['network_parameters'] else 'no parameters'}"
    yield from _origin(run)
    yield from _contamination(run.get("contamination"))
    yield from _effort(run, cost)


def _origin(run: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the weights are and what they were trained on."""
    model, training = run["model"], run["training"]
    if model["untrained"]:
        yield "weights", "UNTRAINED: drawn at random, the scores below say nothing of this architecture"
    elif is_service(run):
        yield "weights", "a service: what is behind it, and what that was trained on, is unknown"
    elif model["weights_sha256"]:
        yield "weights", f"{model['weights_source']}, sha256 {model['weights_sha256'][:12]}"
        told = [*(data["name"] for data in training["data"]), *training.get("extra_data", ())]
        yield "trained on", ", ".join(dict.fromkeys(told)) or "not declared"
        # What a run learns from the tasks themselves the guard, which looks at the weights, does not see.
        found = None if run["protocol"].get("adapt") else run.get("contamination")
        yield "training", _demonstrations(training["demonstrations"], found)
        yield "checkpoint", training["checkpoint_choice"]


def _demonstrations(declared: str, found: Mapping[str, Any] | None) -> str:
    """What was declared of the demonstrations; where the guard read all the data and found none of them, that."""
    looked = found and found["checked"] and not found["not_checked"]
    if declared in ("joint", "per-task") and looked and not found["demonstrated"]:
        return "none of the evaluated tasks' demonstrations was trained on (the weights: " + f"{declared}, on others)"
    return DEMONSTRATIONS[declared]


def _contamination(found: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """What the guard found, and what it could not check."""
    if not found or found["status"] == "nothing trained":
        return
    yield "guard", _verdict(found)
    if found["shared"]:
        yield "shared", _shared(found)
    if found["not_checked"]:
        yield "not checked", "; ".join(dict.fromkeys(found["not_checked"]))


def _verdict(found: Mapping[str, Any]) -> str:
    shown = found["demonstrated"]
    demonstrations = f"; demonstrations of {shown:,} evaluated groups lie in the declared data" if shown else ""
    if found["status"] == "contaminated":
        seen = f"{found['puzzles']:,} of {found['compared']:,} evaluated puzzles were trained on with their answers"
        return f"CONTAMINATED: {seen} ({', '.join(found['ids'][:3])}){demonstrations}"
    if found["status"] == "unknown":
        return "unknown: no training data is declared to compare the puzzles with"
    if not found["checked"]:
        return "nothing could be compared"
    pairs = sum(entry["pairs"] for entry in found["checked"])
    seen = "contaminated" if found["shared"] else "among them"
    return f"{found['compared']:,} puzzles compared with {pairs:,} training pairs, none is {seen}{demonstrations}"


def _shared(found: Mapping[str, Any]) -> str:
    """What the benchmark itself put into both its training and its evaluated puzzles, which contaminates nobody."""
    one = found["shared"] == 1
    also = "further " if found["puzzles"] else ""
    puzzles = f"{found['shared']:,} {also}evaluated puzzle{'' if one else 's'} of those compared"
    where = f"{'stands' if one else 'stand'} also in the benchmark's own training split or demonstrations"
    return f"{puzzles} {where}, as its authors published it; counted as no contamination"


def _effort(run: Mapping[str, Any], cost: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Protocol, depth, time."""
    from trm_harness.record import describe

    protocol, halting, depth = run["protocol"], run["halting"], run["depth_curve"]
    model = run["model"]
    told = describe.protocol(protocol, network=bool(model["network_parameters"]), family=model["family"])
    where = "" if is_service(run) else f" on {protocol['device']}"
    yield "protocol", f"{told}{where}, seed {protocol['seed']}"
    if halting and has_halting(run):
        yield "halting", f"{halting['mean_steps']:.1f} steps on average, {100 * halting['share_halted']:.0f} % halted"
        yield from _saved(halting, protocol)
    if depth and len(depth["accuracy"]) > 1:
        marks = [0, *(2**power - 1 for power in range(1, 12) if 2**power < len(depth["accuracy"]))]
        places = [*marks, len(depth["accuracy"]) - 1]
        curve = ", ".join(f"{100 * depth['accuracy'][index]:.1f} % at {index + 1}" for index in dict.fromkeys(places))
        yield "depth", f"{curve} steps ({single(run)}, n = {depth['n']:,})"
    if run["measures"]:
        means = ", ".join(f"{entry['name']} {100 * entry['value']:.1f} %" for entry in run["measures"])
        yield "measures", f"{means} ({single(run)})"
    if cost["seconds"] and is_service(run):
        each = f", {1 / cost['answers_per_second']:.3g} s an answer" if cost["answers_per_second"] else ""
        yield "cost", f"{duration(cost['seconds'])}{each}, by a service"
    elif cost["seconds"]:
        rate = f", {cost['puzzles_per_second']:.3g} puzzles/s" if cost["puzzles_per_second"] else ""
        work = f", {cost['flops_per_puzzle']:.3g} FLOPs a puzzle" if cost["flops_per_puzzle"] else ""
        memory = f", peak memory {cost['peak_memory_bytes'] / 2**20:,.0f} MiB"
        yield "cost", f"{duration(cost['seconds'])}{rate}{work}{memory} on {cost['device_name']}"
    if cost.get("usage"):
        used = cost["usage"].items()
        counts = [f"{value:,} {name.replace('_', ' ')}" for name, value in used if value and name != "dollars"]
        price = [] if cost["dollars"] is None else [f"{dollars(cost['dollars'])} ({cost['dollars_basis']})"]
        yield "used", ", ".join([*counts, *price])
    for note in run["notes"]:
        yield "note", note


def _saved(halting: Mapping[str, Any], protocol: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Steps that halting would save without a loss."""
    best = halting.get("equal_accuracy")
    if best and best["mean_steps"] < protocol["steps"]:
        saved = f"{protocol['steps'] - best['mean_steps']:.1f} of {protocol['steps']} steps"
        yield "could save", f"{saved} at no loss of accuracy, had it halted above {best['threshold']:g}"
