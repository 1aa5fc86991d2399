"""Tell observing plugins what happens. Each is called on its own, and none can harm the run."""

from __future__ import annotations

import warnings
from typing import Any


class Observers:
    """Calls the hooks ``run_started``, ``batch_predicted`` and ``run_finished`` of a pluggy relay, or of nobody.

    What a plugin raises is caught and warned about once per plugin and hook.
    """

    def __init__(self, relay: Any = None) -> None:
        self._relay = relay
        self._warned: set[tuple[str, str]] = set()

    def tell(self, hook: str, **facts: Any) -> None:
        """Call ``hook`` of every plugin with the facts it asks for, the last registered first (pluggy's order)."""
        caller = getattr(self._relay, hook, None)
        for implementation in reversed(caller.get_hookimpls() if caller else ()):
            try:
                implementation.function(*(facts[name] for name in implementation.argnames))
            except Exception as error:
                self._complain(implementation.plugin_name, hook, error)

    def _complain(self, plugin: str, hook: str, error: Exception) -> None:
        if (plugin, hook) not in self._warned:
            self._warned.add((plugin, hook))
            text = f"plugin {plugin}: {hook} raised {type(error).__name__}: {error}; the run goes on without it"
            warnings.warn(text, RuntimeWarning, stacklevel=3)
