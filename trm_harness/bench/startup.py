"""How long the command line takes to say something, in processes of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from trm_harness.bench.clock import by_turns
from trm_harness.bench.machine import describe
from trm_harness.progress import say

TARGET_S = 0.25
"""What ``--help`` and every listing must stay under."""

COMMANDS = (
    ("--help",),
    ("--version",),
    ("eval", "--help"),
    ("train", "--help"),
    ("tasks", "list"),
    ("models", "list"),
    ("zoo", "list"),
    ("plugins", "list"),
    ("runs", "list"),
)
HEAVY = ("torch", "pandas", "numpy", "matplotlib", "scipy", "pydantic")

_IMPORTED = """
import sys
from trm_harness.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print("\\0" + " ".join(name for name in {heavy!r} if name in sys.modules), file=sys.stderr)
"""


def bench(repeats: int) -> dict[str, Any]:
    """Seconds of every command of :data:`COMMANDS` and the heavy modules that it imports, JSON-ready."""
    work = {" ".join(command): partial(_run, command) for command in COMMANDS}
    work["python -c pass"] = lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)
    timings = by_turns(work, repeats)
    rows = {name: timing.as_dict() for name, timing in timings.items()}
    say("what each command imports")
    for command in COMMANDS:
        rows[" ".join(command)]["imports"] = imports(command)
    return {
        "bench": "cli",
        "target_s": TARGET_S,
        "rows": rows,
        "machine": describe("cpu"),
    }


def imports(command: Sequence[str]) -> list[str]:
    """The modules of :data:`HEAVY` that a command imports."""
    code = _IMPORTED.format(heavy=HEAVY)
    ran = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=False)
    return ran.stderr.rpartition("\0")[2].split()


def _run(command: Sequence[str]) -> None:
    subprocess.run([sys.executable, "-m", "trm_harness", *command], capture_output=True, check=True)
