"""The kit inside pytest, wherever trm-harness is installed: ``pytest --trm-laws NAME`` runs a plugin's laws.

It needs no test file; :func:`trm_harness.testing.parametrize_with_checks` is for those who want one. Importing it costs
nothing: the kit is loaded when the option is used.
"""

from __future__ import annotations

from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--trm-laws``."""
    parser.getgroup("trm-harness").addoption(
        "--trm-laws",
        action="append",
        default=[],
        metavar="NAME",
        help="Also run the laws of this trm-harness plugin, distribution, task, model or trainer. May be given again.",
    )


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add one item per object and law."""
    names = config.getoption("--trm-laws")
    if not names:
        return
    from trm_harness.errors import HarnessError
    from trm_harness.testing import checks_of

    try:
        checks = checks_of(*names)
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error
    items += [LawItem.from_parent(session, name=check.id, check=check) for check in checks]


class LawItem(pytest.Item):
    """One law on one object as a test of its own."""

    def __init__(self, check: Any, **rest: Any) -> None:
        super().__init__(**rest)
        self.check = check

    def runtest(self) -> None:
        """Run the check."""
        self.check()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A broken law is told by its message; what a plugin raised itself, with its traceback."""
        from trm_harness.testing import LawBroken

        if isinstance(excinfo.value, LawBroken) and excinfo.value.__cause__ is None:
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[str, None, str]:
        """What stands before the name in long reports."""
        return "trm-harness laws", None, self.name
