"""What only this network has: two programs that must agree, and lines that it hears."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import trm_harness
from trm_harness import BadInput
from trm_harness.fingerprint import file_sha256
from trm_harness.train.recipe import Recipe, Stage

PLAN = Recipe((Stage(steps=30, lr=3e-3, lr_end=3e-3, supervision_steps=2),), batch_size=32, dtype="float32")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few steps of training: enough to move every weight."""
    out = tmp_path_factory.mktemp("trained") / "run"
    run = trm_harness.train("sudoku-4x4", "automaton", PLAN, out=out, settings={"validate_every": 0, "compile": False})
    losses = run.frame()["loss"]
    assert losses[-5:].mean() < losses[:5].mean()
    return run.weights


def test_torch_and_numpy_answer_alike(weights: Path) -> None:
    torch, plain = (
        trm_harness.load_model(name, "sudoku-4x4", weights=weights, dtype="float32")
        for name in ("automaton", "automaton-numpy")
    )
    assert plain.facts.weights_sha256 == torch.facts.weights_sha256 == file_sha256(weights)
    assert plain.facts.parameters == torch.facts.parameters
    puzzles = torch.task.puzzles("test")[:20]
    for one, other in zip(torch.predict(puzzles), plain.predict(puzzles), strict=True):
        assert np.allclose(one.halts, other.halts, atol=1e-4)
        assert [grid.tolist() for grid in one.grids] == [grid.tolist() for grid in other.grids]


def test_weights_of_another_board_are_refused(weights: Path) -> None:
    for name in ("automaton", "automaton-numpy"):
        with pytest.raises(BadInput):
            trm_harness.load_model(name, "sudoku-6x6", weights=weights)


def test_a_cell_hears_its_lines_and_the_board(weights: Path) -> None:
    model = trm_harness.load_model("automaton", "sudoku-4x4", weights=weights).model.network
    import torch

    latent = torch.zeros(1, 16, 64)
    latent[0, 5] = 1.0  # row 1, column 1
    row, column, board = (heard[0, :, 0].reshape(4, 4) for heard in model._means(latent))
    assert row.nonzero()[:, 0].unique().tolist() == [1]
    assert column.nonzero()[:, 1].unique().tolist() == [1]
    assert torch.allclose(board, torch.full((4, 4), 1 / 16))
