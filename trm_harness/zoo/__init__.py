"""The zoo: cards of trained weights. Find them, check them, and hand out weights whose sha256 is the card's.

A card is ``<folder>/<architecture.tag>/card.toml``; ``zoo/README.md`` documents its keys. Reading cards imports
neither numpy nor torch.
"""

from __future__ import annotations

from trm_harness.zoo.cards import (
    CARD_FILE,
    Card,
    Expected,
    Halting,
    Learning,
    Size,
    Source,
    Training,
    TrainingData,
    best,
    cards,
    find,
    named,
    read_card,
    refuse_taken,
)
from trm_harness.zoo.files import (
    each_once,
    is_here,
    pull,
    safetensors_metadata,
    training_declaration,
    weights_path,
)
from trm_harness.zoo.verify import Check, verify

__all__ = [
    "CARD_FILE",
    "Card",
    "Check",
    "Expected",
    "Halting",
    "Learning",
    "Size",
    "Source",
    "Training",
    "TrainingData",
    "best",
    "cards",
    "each_once",
    "find",
    "is_here",
    "named",
    "pull",
    "read_card",
    "refuse_taken",
    "safetensors_metadata",
    "training_declaration",
    "verify",
    "weights_path",
]
