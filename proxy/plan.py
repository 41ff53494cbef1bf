"""What the loaded function may reach, and which of it runs in this worker.

Without I/O. The functions come with the agent's `Load`; whether a call may be made at all is `mee6.outflow`'s to say.
"""

from __future__ import annotations

from collections.abc import Mapping

from mee6.lane.messages import Function


class Plan:
    """The functions of the worker.

    Args:
        languages: all that the worker can start.
    """

    __slots__ = ("_languages", "functions", "local", "root")

    def __init__(self, languages: frozenset[str]) -> None:
        self._languages = languages
        self.root: Function | None = None
        """The function that is invoked here; None while none was loaded."""
        self.functions: dict[str, Function] = {}
        """All that it may reach, itself included."""
        self.local: dict[str, str] = {}
        """Those that run in this worker when they are called -> their language."""

    def change(self, root: Function, functions: Mapping[str, Function]) -> None:
        """Replaces all: `root` is what is invoked from now on."""
        self.root = root
        self.functions = {**functions, root.name: root}
        self.local = self._reachable(root)

    def outflows(self, function: Function) -> dict[str, str]:
        """The function's outflows; what this worker cannot run always leaves."""
        return {name: outflow if self.can_run(name) else "always" for name, outflow in function.dependencies.items()}

    def can_run(self, name: str) -> bool:
        """Whether this worker could run a function that is called; a declared workflow has a worker of its own."""
        function = self.functions.get(name)
        return function is not None and function.runtime in self._languages and not function.declaration

    def _reachable(self, root: Function) -> dict[str, str]:
        found = {} if root.declaration else {root.name: root.runtime}
        todo = [root]
        while todo:
            for name, outflow in self.outflows(todo.pop()).items():
                callee = self.functions.get(name)
                if callee is not None and outflow != "always" and name not in found:
                    found[name] = callee.runtime
                    todo.append(callee)
        return found
