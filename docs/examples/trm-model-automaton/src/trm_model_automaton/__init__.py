"""Manifest: one network twice, in torch where it is trained, and in numpy where its weights only answer."""

from __future__ import annotations

from collections.abc import Callable

from trm_harness import ModelSpec, hookimpl

PLUGIN_API = 1

SHARED = {
    "version": 1,
    "family": "recursive",
    # Square boards, every cell of them a token.
    "tasks": ("sudoku-*", "maze-*"),
    "needs_weights": True,
    "config": {"hidden_size": 64, "supervision_steps": 8},
}


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Declare both; they read the same weights files."""
    told = "A gated cellular automaton: each cell hears the means of its row, its column and the board"
    register(
        ModelSpec(
            id="automaton",
            target="trm_model_automaton.network:answering",
            trainable="trm_model_automaton.network:training",
            title="Line automaton",
            description=f"{told}. Trains in torch.",
            **SHARED,
        )
    )
    register(
        ModelSpec(
            id="automaton-numpy",
            target="trm_model_automaton.plain:PlainAutomaton",
            title="Line automaton in numpy",
            description=f"{told}. Answers without torch, from the weights that `automaton` trained.",
            **SHARED,
        )
    )
