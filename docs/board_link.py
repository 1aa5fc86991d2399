"""Hook of mkdocs: a first entry of the navigation that leads to the leaderboard, where ``BOARD`` holds its address."""

from __future__ import annotations

import os
from typing import Any


def on_config(config: Any) -> Any:
    """The configuration with that entry; unchanged where nobody says where the board is."""
    board = os.environ.get("BOARD", "")
    if board:
        config.nav.insert(0, {"Leaderboard": board})
    return config
