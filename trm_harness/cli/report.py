"""A record as a person reads it. Works on the JSON form, so that showing a run imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trm_harness.cli.options import printable, table
from trm_harness.cli.progress import duration

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
PLURALS = {"view": ("", "s"), "trajector": ("y", "ies")}


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
    ]
    return table(rows, ("CHOSEN BY", "SCORE", "VALUE", "OF", "95 % INTERVAL"))


def pooled(run: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """What one answer was made of: ``single pass``, ``8 views vote``, ``2 views x 8 trajectories, highest halt``."""
    if entry["pooling"] == "single" or answers(run) == 1:
        return single(run)
    parts = [(entry["views"], "view"), (entry.get("trajectories", 1), "trajector")]
    words = [f"{count} {name}{PLURALS[name][count > 1]}" for count, name in parts if count > 1]
    halt = entry.get("select") == "halt"
    return f"{' x '.join(words)}{', highest halting logit' if halt else ' vote'}"


def single(run: Mapping[str, Any]) -> str:
    """What the curves and measures rest on: the first trajectory of the identity view."""
    return "one noisy trajectory" if run["protocol"].get("noise") else "single pass"


def answers(run: Mapping[str, Any]) -> int:
    """Answers of a puzzle, all views and trajectories together."""
    return views(run) * run["protocol"]["restarts"]


def views(run: Mapping[str, Any]) -> int:
    """Views that voted."""
    return run["protocol"]["voting_views"] or run["protocol"]["views"]


def fraction(entry: Mapping[str, Any]) -> str:
    """``3.5/12 tasks``."""
    return f"{round(entry['numerator'], 2):g}/{entry['denominator']} {entry['unit']}"


def interval(entry: Mapping[str, Any]) -> str:
    """``41.2-78.9 (wilson)``."""
    if entry["low"] is None:
        return "none"
    return f"{100 * entry['low']:.1f}-{100 * entry['high']:.1f} ({entry['interval_method']})"


def model_name(run: Mapping[str, Any]) -> str:
    """The card if there is one, whom a chat endpoint was asked for, and a word of warning for random weights."""
    model = run["model"]
    served = f" {model['config'].get('model', '')}" if model["family"] == "llm" else ""
    return f"{model['card'] or model['id']}{served}{' (UNTRAINED)' if model['untrained'] else ''}"


def headline(run: Mapping[str, Any]) -> str:
    """``pass@2 50.0 % (1/2 tasks)``; how far it got where there is no score."""
    entry, progress = run["headline"], run["progress"]
    if entry:
        return f"{entry['name']} {100 * entry['value']:.2f} % ({fraction(entry)})"
    return "answers hidden" if run["status"] == "success" else f"{progress['rows']:,}/{progress['total']:,} answers"


def _lines(run: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Facts above the table."""
    task, model, chosen, cost = run["task"], run["model"], run["selection"], run["cost"]
    yield "run", f"{run['id']}: {run['status']}{': ' if run['message'] else ''}{run['message']}"
    yield "task", f"{task['id']} (version {task['version']}), split {task['split']}, {task['source']}"
    puzzles = f"{chosen['puzzles']:,} of {task['split_puzzles']:,} puzzles"
    hidden = f"; {chosen['hidden']:,} answers are hidden and not scored" if chosen["hidden"] else ""
    yield "asked", f"{chosen['groups']:,} of {task['split_groups']:,} groups, {puzzles}{hidden}"
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
    elif model["weights_sha256"]:
        yield "weights", f"{model['weights_source']}, sha256 {model['weights_sha256'][:12]}"
        yield "trained on", "; ".join([", ".join(data["name"] for data in training["data"]) or "not declared"])
        yield "training", DEMONSTRATIONS[training["demonstrations"]]
        yield "checkpoint", training["checkpoint_choice"]


def _contamination(found: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """What the guard found, and what it could not check."""
    if not found or found["status"] == "nothing trained":
        return
    yield "guard", _verdict(found)
    if found["shared"]:
        yield "shared", f"{found['shared']:,} more are in the benchmark's own training split or demonstrations"
    if found["not_checked"]:
        yield "not checked", "; ".join(found["not_checked"])


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


def _effort(run: Mapping[str, Any], cost: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Protocol, depth, time."""
    protocol, halting, depth = run["protocol"], run["halting"], run["depth_curve"]
    yield (
        "protocol",
        (
            f"{views(run)} view{'s' * (views(run) > 1)}{_trajectories(protocol)}, "
            f"{protocol['attempts']} attempt{'s' * (protocol['attempts'] > 1)}, "
            f"{protocol['steps']} steps ({_halting(protocol)}), {_kernels(protocol)} on {protocol['device']}, "
            f"seed {protocol['seed']}"
        ),
    )
    if halting:
        yield "halting", f"{halting['mean_steps']:.1f} steps on average, {100 * halting['share_halted']:.0f} % halted"
        yield from _saved(halting, protocol)
    if depth and len(depth["accuracy"]) > 1:
        marks = [0, *(2**power - 1 for power in range(1, 12) if 2**power < len(depth["accuracy"]))]
        places = [*marks, len(depth["accuracy"]) - 1]
        curve = ", ".join(f"{100 * depth['accuracy'][place]:.1f} % at {place + 1}" for place in dict.fromkeys(places))
        yield "depth", f"{curve} steps ({single(run)}, n = {depth['n']:,})"
    if run["measures"]:
        means = ", ".join(f"{entry['name']} {100 * entry['value']:.1f} %" for entry in run["measures"])
        yield "measures", f"{means} ({single(run)})"
    if cost["seconds"]:
        rate = f", {cost['puzzles_per_second']:.3g} puzzles/s" if cost["puzzles_per_second"] else ""
        work = f", {cost['flops_per_puzzle']:.3g} FLOPs a puzzle" if cost["flops_per_puzzle"] else ""
        memory = f", peak memory {cost['peak_memory_bytes'] / 2**20:,.0f} MiB"
        yield "cost", f"{duration(cost['seconds'])}{rate}{work}{memory} on {cost['device_name']}"
    if cost.get("usage"):
        counts = [f"{value:,} {name.replace('_', ' ')}" for name, value in cost["usage"].items() if value]
        price = [] if cost["dollars"] is None else [f"${cost['dollars']:.3g} ({cost['dollars_basis']})"]
        yield "used", ", ".join([*counts, *price])
    for note in run["notes"]:
        yield "note", note


def _kernels(protocol: Mapping[str, Any]) -> str:
    return protocol["dtype"] + (" compiled" if protocol.get("compiled") else "")


def _halting(protocol: Mapping[str, Any]) -> str:
    return "full" if protocol["halt"] == "full" else f"adaptive, above {protocol.get('halt_above', 0.5):g}"


def _trajectories(protocol: Mapping[str, Any]) -> str:
    """What restarts and noise add to the protocol line."""
    restarts, noise = protocol["restarts"], protocol["noise"]
    words = f" x {restarts} trajectories" if restarts > 1 else ""
    if protocol.get("adapt"):
        words += f", adapted to each task ({protocol['adapt']}, {protocol['adapt_steps']} steps)"
    return f"{words}{f' with noise {noise:g} on the latent before each step' if noise else ''}"


def _saved(halting: Mapping[str, Any], protocol: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Steps that halting would save without a loss."""
    best = halting.get("equal_accuracy")
    if best and best["mean_steps"] < protocol["steps"]:
        saved = f"{protocol['steps'] - best['mean_steps']:.1f} of {protocol['steps']} steps"
        yield "could save", f"{saved} at no loss of accuracy, had it halted above {best['threshold']:g}"
