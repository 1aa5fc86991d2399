"""Plugins: found, attributed, isolated, checked, blocked. Every plugin here is a real installed distribution."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from tests.conftest import Site
from trm_harness.evaluate.observe import Observers
from trm_harness.plugins.host import PluginHost, PluginInfo, load, near

Harness = Callable[..., CompletedProcess[str]]

GOOD = """
from trm_harness import TrainerSpec, hookimpl

heard = []

@hookimpl
def register_trainers(register):
    register(TrainerSpec(id="acme/slow", version=1, target="{module}:heard", title="Slow", description=""))

@hookimpl
def run_started(run):
    heard.append(run)
"""

BROKEN = {
    "raises": ("import does_not_exist_anywhere", "ModuleNotFoundError: No module named 'does_not_exist_anywhere'"),
    "exits": ("import sys; sys.exit('no licence')", "SystemExit: no licence"),
    "syntax": ("def (:", "SyntaxError"),
    "misspelt": (
        "from trm_harness import hookimpl\n@hookimpl\ndef register_taks(register): pass",
        "unknown hook 'register_taks': did you mean 'register_tasks'",
    ),
    "argument": (
        "from trm_harness import hookimpl\n@hookimpl\ndef register_tasks(registry): pass",
        "Argument(s) {'registry'} are declared in the hookimpl",
    ),
    "undecorated": ("def register_tasks(register): pass", "register_tasks has no effect: decorate it"),
    "hookless": ("x = 1", "it implements no hook"),
    "wrapper": (
        "from trm_harness import hookimpl\n@hookimpl(wrapper=True)\ndef register_tasks(register): yield",
        "register_tasks may not be a wrapper",
    ),
}


def the(host: PluginHost, name: str) -> PluginInfo:
    (info,) = host.find(name)
    return info


def test_a_plugin_is_found_and_attributed(site: Site) -> None:
    module = site.install("acme", GOOD, "acme-tools", "2.5")
    info = the(load(), "acme")
    assert (info.distribution, info.version, info.module) == ("acme-tools", "2.5", module)
    assert set(info.hooks) == {"register_trainers", "run_started"}
    assert info.status == "ok"
    assert info.import_ms > 0
    assert not info.in_tree


def test_the_shipped_plugins_use_the_public_door() -> None:
    in_tree = {info.name for info in load().plugins if info.in_tree}
    assert {"arc", "sudoku", "trm", "baselines", "torch-trainer", "zoo"} <= in_tree


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_is_quarantined_and_the_others_work(site: Site, kind: str) -> None:
    source, expected = BROKEN[kind]
    site.install("bad", source)
    site.install("acme", GOOD)
    host = load()
    info = the(host, "bad")
    assert info.status == "quarantined"
    assert expected in info.reason
    assert "\n" not in info.reason
    assert "Traceback" in info.traceback
    assert not host.manager.has_plugin("bad")
    assert the(host, "acme").status == "ok"


def test_commands_go_on_with_one_warning_and_doctor_fails(site: Site, harness: Harness) -> None:
    module = site.install("bad", "1 / 0")
    listed = harness("tasks", "list", "--json")
    assert listed.returncode == 0
    assert "arc1" in [task["id"] for task in json.loads(listed.stdout)]
    (warning,) = [line for line in listed.stderr.splitlines() if "'bad'" in line]
    assert warning.startswith("warning: plugin 'bad' (bad-dist 1.0) is quarantined: ZeroDivisionError")

    plugins = harness("plugins", "list")
    assert plugins.returncode == 0
    assert f"{module}.py" in plugins.stdout
    assert "1 / 0" in plugins.stdout

    shown = harness("plugins", "show", "bad")
    assert shown.returncode == 0
    assert "Traceback" in shown.stdout

    doctor = harness("doctor", "--json")
    assert doctor.returncode == 1
    findings = json.loads(doctor.stdout)["findings"]
    assert [f["status"] for f in findings if f["check"] == "plugin bad"] == ["fail"]


def test_what_a_plugin_prints_at_import_cannot_spoil_json(site: Site, harness: Harness) -> None:
    site.install("chatty", "print('welcome!')\n" + GOOD)
    listed = harness("plugins", "list", "--json")
    assert "chatty" in [plugin["name"] for plugin in json.loads(listed.stdout)]
    assert "welcome!" in listed.stderr


@pytest.mark.parametrize(("listed", "blocked"), [("acme", True), ("acme-tools", True), ("x, *", True), ("x", False)])
def test_a_third_party_plugin_can_be_blocked(site: Site, listed: str, blocked: bool) -> None:
    module = site.install("acme", GOOD, "acme-tools")
    host = load(disable=listed)
    assert the(host, "acme").status == ("blocked" if blocked else "ok")
    assert host.manager.has_plugin("acme") is not blocked
    assert host.unmatched == (("x",) if "x" in listed else ())
    assert {info.status for info in host.plugins if info.in_tree} == {"ok"}
    assert (module in sys.modules) is not blocked


def test_an_in_tree_plugin_can_be_blocked_by_name(harness: Harness) -> None:
    listed = harness("tasks", "list", "--json", TRM_HARNESS_DISABLE="arc")
    names = [task["id"] for task in json.loads(listed.stdout)]
    assert "arc1" not in names
    assert "sudoku-4x4" in names
    unknown = harness("tasks", "show", "arc1", TRM_HARNESS_DISABLE="arc")
    assert unknown.returncode == 2
    assert "arc blocked" in unknown.stderr


def test_two_plugins_of_one_name(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.install("same", GOOD, "first-dist")
    site.install("same", GOOD.replace("acme/slow", "other"), "second-dist")
    first, second = load().find("same")
    assert (first.status, second.status) == ("ok", "quarantined")
    assert "first-dist" in second.reason
    assert "second-dist" in caplog.text


def test_an_observer_that_raises_harms_nobody(site: Site) -> None:
    site.install("good", GOOD)
    site.install("rude", GOOD.replace("acme/slow", "b").replace("heard.append(run)", "heard.append(run); 1 / 0"))
    host = load()
    observers = Observers(host.manager.hook)
    with pytest.warns(RuntimeWarning, match="plugin rude: run_started raised ZeroDivisionError"):
        observers.tell("run_started", run="first")
    with warnings.catch_warnings(action="error"):
        observers.tell("run_started", run="second")
    heard = {info.name: __import__(info.module).heard for info in host.plugins if not info.in_tree}
    assert heard == {"good": ["first", "second"], "rude": ["first", "second"]}


def test_ctrl_c_in_a_plugin_is_not_swallowed(site: Site) -> None:
    site.install("held", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load()


def test_near_names() -> None:
    assert near("arc", ["arc1", "arc2", "maze"]) == ": did you mean 'arc1' or 'arc2'?"
    assert near("SUDOKU-4X4", ["sudoku-4x4"]) == ": did you mean 'sudoku-4x4'?"
    assert near("zzz", ["arc1"]) == ""
