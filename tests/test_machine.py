"""The machine as torch tells it: device names, number formats, and what a device that torch cannot use is answered."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest
import torch

from trm_harness import machine
from trm_harness.bench.device import gradients_apart
from trm_harness.cli.doctor import _proofs
from trm_harness.errors import BadInput


@pytest.mark.parametrize(
    ("told", "dtype"),
    [
        ({"avx2": True, "amx_bf16": False, "avx512_bf16": False}, "float32"),
        ({"avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True}, "bfloat16"),
        ({}, "float32"),
    ],
)
def test_the_usual_number_format_is_what_the_cpu_multiplies(
    told: dict[str, bool], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    assert machine.usual_dtype("cpu") == dtype


def test_a_torch_that_tells_nothing_of_the_cpu_means_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert machine.usual_dtype("cpu") == "float32"


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is an accelerator here")
def test_without_an_accelerator_auto_is_the_cpu() -> None:
    assert machine.resolve_device("auto") == "cpu"
    assert (machine.accelerator(), machine.device_count()) == ("", 0)
    for name, said in (
        ("cuda", "this machine has no cuda device that torch can use: use --device cpu or auto"),
        ("xpu:1", "this machine has no xpu device"),
        ("banana", "device 'banana' does not exist: use one of auto, cpu"),
        ("cuda:x", "device 'cuda:x' does not exist"),
    ):
        with pytest.raises(BadInput, match=said):
            machine.resolve_device(name)


def test_threads_are_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.threads() == torch.get_num_threads()
    monkeypatch.delitem(sys.modules, "torch")
    assert machine.threads() == 1


def test_doctor_proves_no_device_that_is_not_there() -> None:
    with pytest.raises(BadInput, match="device 'banana' does not exist"):
        _proofs("banana")
    assert [proof.__name__ for proof in _proofs("cpu")] == ["_device", "_golden", "_gradients", "_speed"]


def test_the_cpu_has_its_own_gradients() -> None:
    assert gradients_apart("cpu") == 0


FAULTS = """
import contextlib, ctypes, json, resource
import numpy as np
from trm_harness import machine

with contextlib.suppress(OSError, AttributeError, TypeError):
    # No huge pages (PR_SET_THP_DISABLE): one of them stands for 512 faults.
    ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        held = [np.ones(5 << 20, np.float32) for _ in range(4)]
        del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
before, told = faults(), machine.keep_freed_memory()
faults()
print(json.dumps([before, told, faults()]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="pages are not counted there")
def test_freed_memory_is_kept_where_the_c_library_can_be_told() -> None:
    def measured(**environment: str) -> list[float]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
        command = [sys.executable, "-c", FAULTS]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=kept | environment)
        return json.loads(done.stdout)

    before, told, after = measured()
    # A process of its own: nothing else may have told it. Twenty megabytes are five thousand small pages.
    assert not told or after < before / 10
    if platform.libc_ver()[0] == "glibc":
        assert told
        assert before > 2000
    # Who said otherwise by the environment is left alone.
    assert not measured(MALLOC_TRIM_THRESHOLD_="131072")[1]
