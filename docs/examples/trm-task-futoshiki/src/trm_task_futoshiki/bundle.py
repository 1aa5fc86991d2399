"""``python -m trm_task_futoshiki.bundle``: write the bundled validation and test puzzles afresh."""

from __future__ import annotations

from trm_task_futoshiki import files
from trm_task_futoshiki.generate import draw
from trm_task_futoshiki.task import BUNDLED

SIZES = {"validation": 200, "test": 300}


def main() -> None:
    """Write them; puzzles that are images of an earlier one are left out."""
    from trm_task_futoshiki.board import canonical

    for split, size in SIZES.items():
        found, seen, index = [], set(), 0
        while len(found) < size:
            pair = draw(split, 0, index)
            index += 1
            if canonical(pair[0]) not in seen:
                seen.add(canonical(pair[0]))
                found.append(pair)
        files.write(BUNDLED / f"{split}.csv", found)


if __name__ == "__main__":
    main()
