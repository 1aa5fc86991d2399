"""The registry: names, owners, lazy targets, clashes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from tests.conftest import Site
from trm_harness.errors import PluginError, UnknownName
from trm_harness.plugins.host import load
from trm_harness.registry import Registry, default
from trm_harness.specs import TrainerSpec

Harness = Callable[..., CompletedProcess[str]]

TRAINER = """
from trm_harness import ModelSpec, TrainerSpec, hookimpl

door = None

def spec(id="slow", target="{module}_impl:Slow", **facts):
    return TrainerSpec(id=id, version=1, target=target, title="", description="")

@hookimpl
def register_trainers(register):
    global door
    door = register
    register(spec())
"""


def registry() -> Registry:
    return Registry.from_host(load())


def test_names_specs_and_owners(site: Site) -> None:
    site.install("acme", TRAINER, "acme-tools", "3.1")
    trainers = registry().trainers
    assert "slow" in trainers
    assert trainers.names() == sorted(trainers.names())
    assert [spec.id for spec in trainers] == trainers.names()
    assert isinstance(trainers.spec("slow"), TrainerSpec)
    assert str(trainers.owner("slow")) == "plugin 'acme' (acme-tools 3.1)"


def test_a_target_is_imported_on_first_use(site: Site) -> None:
    module = site.install("acme", TRAINER)
    (site.folder / f"{module}_impl.py").write_text("class Slow: pass\n")
    trainers = registry().trainers
    assert f"{module}_impl" not in sys.modules
    resolved = trainers.resolve("slow")
    assert resolved is sys.modules[f"{module}_impl"].Slow
    assert trainers.resolve("slow") is resolved


@pytest.mark.parametrize(
    ("body", "cause"),
    [(None, "ModuleNotFoundError"), ("import nonsense_xyz", "nonsense_xyz"), ("x = 1", "has no attribute 'Slow'")],
)
def test_a_broken_target_names_the_plugin(site: Site, body: str | None, cause: str) -> None:
    module = site.install("acme", TRAINER)
    if body is not None:
        (site.folder / f"{module}_impl.py").write_text(body)
    with pytest.raises(PluginError, match=r"trainer 'slow' of plugin 'acme' \(acme-dist 1.0\)") as caught:
        registry().trainers.resolve("slow")
    assert cause in str(caught.value)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("register('slow')", "register takes a TrainerSpec here, not str"),
        ("register(spec())", "trainer 'slow' is registered twice"),
        ("register(spec(id='has space'))", "id 'has space'"),
        ("register(spec(id='ok', target=''))", "target '(empty)' is not of the form"),
        ("register(spec(id='ok', target='no-colon'))", "'no-colon' is not of the form 'module:attribute'"),
    ],
)
def test_a_plugin_that_fails_while_registering_leaves_nothing_behind(site: Site, call: str, reason: str) -> None:
    site.install("acme", TRAINER + f"    {call}\n")
    host = load()
    built = Registry.from_host(host)
    (info,) = host.find("acme")
    assert info.status == "quarantined"
    assert reason in info.reason
    assert "slow" not in built.trainers
    assert "arc1" in built.tasks


def test_a_second_target_is_resolved_by_its_field() -> None:
    models = registry().models
    trainable = [spec.id for spec in models if spec.trainable]
    assert trainable
    assert all(callable(models.resolve(name, "trainable")) for name in trainable)
    plain = next(spec.id for spec in models if not spec.trainable)
    with pytest.raises(PluginError, match=f"model '{plain}' of plugin .* declares no 'trainable'"):
        models.resolve(plain, "trainable")


def test_two_plugins_claiming_one_name_is_an_error_naming_both(site: Site, harness: Harness) -> None:
    site.install("one", TRAINER, "first-dist", "1.1")
    site.install("two", TRAINER, "second-dist", "2.2")
    with pytest.raises(PluginError) as caught:
        registry()
    for part in ("trainer 'slow'", "'one' (first-dist 1.1)", "'two' (second-dist 2.2)", "TRM_HARNESS_DISABLE=two"):
        assert part in str(caught.value)
    listed = harness("tasks", "list")
    assert (listed.returncode, listed.stdout) == (2, "")
    assert listed.stderr.startswith("error: trainer 'slow' is claimed by")
    assert len(listed.stderr.splitlines()) == 1
    assert harness("plugins", "list").returncode == 0
    assert harness("tasks", "list", TRM_HARNESS_DISABLE="two").returncode == 0


def test_a_clash_with_a_shipped_name_says_to_disable_the_other(site: Site) -> None:
    source = "from trm_harness import ClaimsSpec, hookimpl\n@hookimpl\ndef register_claims(register):\n"
    site.install("aaa", source + "    register(ClaimsSpec(id='reported', target='{module}:x'))\n", "aaa-dist")
    with pytest.raises(PluginError, match="TRM_HARNESS_DISABLE=aaa"):
        registry()


def test_nothing_can_be_registered_afterwards(site: Site) -> None:
    module = site.install("acme", TRAINER)
    built = registry()
    late = sys.modules[module]
    with pytest.raises(PluginError, match="outside its register_"):
        late.door(late.spec(id="late"))
    assert "late" not in built.trainers
    with pytest.raises(TypeError):
        built.trainers._entries["late"] = None  # type: ignore[index]
    with pytest.raises(AttributeError):
        built.trainers = built.tasks  # type: ignore[misc,assignment]


def test_unknown_names_answer_with_the_nearest() -> None:
    tasks = registry().tasks
    with pytest.raises(UnknownName, match=r"^unknown task 'arc': did you mean 'arc1' or 'arc2'\?$"):
        tasks.spec("arc")
    with pytest.raises(UnknownName, match=r"is the plugin 'acme' installed\?"):
        tasks.owner("acme/maze")
    with pytest.raises(UnknownName, match=r"unknown task 'qqqqqq': known are arc1, arc2"):
        tasks.resolve("qqqqqq")


def test_every_shipped_target_resolves() -> None:
    shipped = registry()
    for catalog in (shipped.tasks, shipped.models, shipped.trainers, shipped.cards, shipped.claims):
        names = [name for name in catalog.names() if catalog.owner(name).in_tree]
        assert names, catalog.kind
        assert all(callable(catalog.resolve(name)) for name in names)


def test_the_shipped_names() -> None:
    shipped = registry()
    assert {"arc1", "arc2", "sudoku-4x4", "sudoku-6x6", "sudoku-9x9"} <= set(shipped.tasks.names())
    assert {"trm-7m", "trm-mlp-5m", "trm-nano"} <= set(shipped.models.names())


def test_the_default_registry_is_built_once() -> None:
    assert default() is default()
