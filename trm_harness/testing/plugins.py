"""Laws of plugins: a manifest costs nothing, and says which interface it was written for."""

from __future__ import annotations

import subprocess
import sys

from trm_harness.testing.laws import demand, law
from trm_harness.testing.process import environment
from trm_harness.testing.subjects import PluginSubject

HEAVY = ("torch", "numpy", "pandas", "matplotlib", "scipy", "jax", "tensorflow")

_PROBE = """
import sys
from importlib import import_module
before = set(sys.modules)
import_module(sys.argv[1])
print(",".join(sorted(set(sys.argv[2:]) & (set(sys.modules) - before))))
"""


@law("plugin")
def manifest_imports_nothing_heavy(subject: PluginSubject) -> None:
    """Importing the manifest brings in neither torch nor numpy nor their like."""
    module = subject.info.module.partition(":")[0]
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, module, *HEAVY],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    demand(
        done.returncode == 0,
        f"importing {module} in a process of its own fails: {done.stderr.strip()[-300:]}",
        "make the manifest importable by itself",
    )
    found = done.stdout.strip()
    demand(
        not found,
        f"importing the manifest {module} imports {found}, which every command would pay for",
        "name the code by a target ('module:attribute') and import there",
    )


@law("plugin")
def manifest_says_its_api(subject: PluginSubject) -> None:
    """The manifest states the plugin API it was written for."""
    demand(
        subject.info.api is not None,
        f"{subject.info.module} does not say which plugin API it was written for",
        "put PLUGIN_API = 1 into the manifest, so that another version of trm-harness can say so clearly",
    )
