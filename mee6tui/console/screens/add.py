"""Adding a function: a folder is chosen, its manifest checked in place, and only then anything is sent."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Button, DirectoryTree, Input, Static
from textual.widgets._directory_tree import DirEntry
from textual.widgets._tree import TreeNode

from mee6.errors import Mee6Error
from mee6.manifest import FILE_NAME, YAML_NAMES
from mee6.records import Added
from mee6.sizes import size_text
from mee6tui.cli import environment
from mee6tui.console import folder, shell
from mee6tui.console.commands import Context, Key
from mee6tui.console.folder import Checked
from mee6tui.console.screens.dialogs import Dialog, choice, fault_lines
from mee6tui.console.screens.editor import edit
from mee6tui.console.screens.page import Place
from mee6tui.console.targets import barred
from mee6tui.console.widgets.harmless import clean
from mee6tui.console.widgets.line import Line, Lines
from mee6tui.console.widgets.prompt import common_start
from mee6tui.console.widgets.sparkline import bar

LABEL = 9
BAR = 24
"""Cells."""


class Folders(DirectoryTree):
    """Folders only, without pictures; those that hold a manifest stand out."""

    def filter_paths(self, paths: Iterable[Path]) -> Iterable[Path]:
        """No files, nothing hidden."""
        return [path for path in paths if not path.name.startswith(".") and path.is_dir()]

    def render_label(self, node: TreeNode[DirEntry], base_style: Style, style: Style) -> Text:
        """A sign for open and closed, and the name."""
        sign = "- " if node.is_expanded else "+ "
        return Text(sign + clean(str(node.label)), style=base_style + style)


class _Path(Input):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("tab", "complete", "Complete", show=False, id="add.complete")]

    def action_complete(self) -> None:
        screen = self.screen
        assert isinstance(screen, AddScreen)
        screen.complete()


class AddScreen(Dialog):
    """The folder, what is in it, how far it is.

    Args:
        sources: the agents that it can be added to; the first one is meant at first.
    """

    DEFAULT_CSS: ClassVar[str] = """
    AddScreen > #box { width: 100; }
    AddScreen #to { height: 1; margin-bottom: 1; display: none; }
    AddScreen.-several #to { display: block; }
    AddScreen #form { height: auto; }
    AddScreen .label { width: 9; }
    AddScreen .row { margin-bottom: 0; }
    AddScreen #offers { height: 1; }
    AddScreen Folders { height: 4; margin-top: 1; background: $background; padding: 0 1; scrollbar-size-vertical: 1; }
    AddScreen.-tall Folders { height: 14; }
    AddScreen #check { height: 3; }
    AddScreen .command { margin-top: 0; max-height: 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r,f5", "add", "Add it", show=False, id="add.add", priority=True),
        Binding("ctrl+t", "other", "Another agent", show=False, id="add.other", priority=True),
        Binding("ctrl+e", "edit", "Edit the manifest", show=False, id="add.edit", priority=True),
    ]
    FOOT = "tab completes   enter adds   ctrl+e manifest   ctrl+y copies the line"

    def __init__(self, context: Context, sources: Sequence[str]) -> None:
        super().__init__(context)
        self.sources = list(sources)
        self.source = sources[0]
        self.checked: Checked | None = None
        self._error = ""
        self._progress = self._adding = ""
        self._busy = False
        self._places: dict[range, str] = {}
        self._looked_for: str | None = None
        self._to = Lines(ground="panel", clicked=self._click_to, id="to")
        self._offers = Lines(ground="panel", id="offers")
        self._check = Lines(ground="panel", id="check")
        self.path = _Path(_beginning(context), placeholder="folder that holds activity.json", id="path", compact=True)
        self.env = Input(placeholder="KEY=VALUE ...; KEY alone = the value it has here", id="env", compact=True)
        self.path.cursor_blink = self.env.cursor_blink = False
        self.folders = Folders(Path.cwd())
        self.folders.show_guides = False
        self.folders.guide_depth = 2

    def heading(self) -> str:
        """What it does."""
        return "Add a function, or its next version"

    def body(self) -> Widget:
        """Path, folders, check, buttons."""
        return Vertical(
            self._to,
            Horizontal(Static("folder", classes="label"), self.path, classes="row"),
            self._offers,
            Horizontal(Static("env", classes="label"), self.env, classes="row"),
            self.folders,
            self._check,
            Static("", classes="command", markup=False),
            Horizontal(
                Button("Add", id="add", variant="primary", compact=True),
                Button("Close", id="close", compact=True),
                classes="buttons",
            ),
            id="form",
        )

    def on_mount(self) -> None:
        """The path is typed into."""
        super().on_mount()
        self.set_class(len(self.sources) > 1, "-several")
        self.on_resize()
        self._show_to()
        self.set_focus(self.path)
        self.path.cursor_position = len(self.path.value)
        self._look()

    def on_resize(self) -> None:
        """Takes the room there is."""
        self.set_class(self.app.size.height >= 36, "-tall")

    # Where to

    def action_other(self) -> None:
        """The next agent."""
        self.source = self.sources[(self.sources.index(self.source) + 1) % len(self.sources)]
        self._show_to()
        self._look()

    def _click_to(self, x: int, _y: int) -> None:
        found = next((source for place, source in self._places.items() if x in place), None)
        if found is not None:
            self.source = found
            self._show_to()
            self._look()

    def _show_to(self) -> None:
        line, self._places = choice(LABEL, self.sources, self.source)
        self._to.show([[("to".ljust(LABEL), "quiet"), *line, (" ctrl+t another", "quiet")]])

    # What is there

    @property
    def _user(self) -> str:
        return self.context.app.clients[self.source].user

    def lines(self) -> Sequence[str]:
        """What does the same, once there is a folder."""
        return [self._line(shell.words(self.env.value))] if self.path.value.strip() else ()

    def _line(self, variables: Iterable[str]) -> str:
        path = str(self.checked.folder) if self.checked else self.path.value
        given = [word for variable in variables for word in ("-e", variable)]
        return shell.line(["act", "add", path, *given], self.context.app.flags.get(self.source, ""))

    def on_input_changed(self, event: Input.Changed) -> None:
        """It is looked at, beside."""
        event.stop()
        self._error = self._progress = ""
        self._look()

    def _look(self) -> None:
        self._looked_for = self.path.value
        self.run_worker(self._look_at(self.path.value), exclusive=True, group="look", exit_on_error=False)

    async def _look_at(self, text: str) -> None:
        checked, found = await asyncio.to_thread(lambda: (folder.check(text), folder.offers(text)))
        if text != self.path.value:
            return
        self.checked = checked
        self._offers.show([[(" " * LABEL + "  ".join(clean(Path(offer).name) for offer in found[:12]), "quiet")]])
        self.show_lines()
        self.context.app.hurry()

    def complete(self) -> None:
        """Takes what all offers begin with, or else the first of them; where there is none, goes to the next field."""
        self.run_worker(self._complete(self.path.value), exclusive=True, group="complete", exit_on_error=False)

    async def _complete(self, text: str) -> None:
        found = await asyncio.to_thread(folder.offers, text)
        if text != self.path.value:
            return
        if not found or found == [text]:
            self.focus_next()
            return
        common = common_start(found)
        self.path.value = common if len(common) > len(text) else found[0]
        self.path.cursor_position = len(self.path.value)

    def on_directory_tree_directory_selected(self, event: DirectoryTree.DirectorySelected) -> None:
        """A folder of the tree is as good as one that is typed."""
        event.stop()
        path = event.path
        with_here = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        self.path.value = str(with_here)

    def flush(self, now: float) -> None:  # noqa: ARG002 - it shows no times
        """Shows the check, or how far it is."""
        self._check.show(self._check_lines())

    def _check_lines(self) -> list[Line]:
        ascii_ = self.context.app.palette.ascii
        good = "v " if ascii_ else "✓ "
        if self._progress:
            return [[(self._progress, "accent")], [], []]
        if self._error:
            return _wrong(self._error, ascii_only=ascii_)
        checked = self.checked
        if checked is None or not self.path.value.strip():
            return [[("choose a folder; nothing is sent before its manifest is sound", "quiet")], [], []]
        if checked.fault is not None:
            marked = fault_lines(checked.fault, f"{FILE_NAME}, ", ascii_only=ascii_)
            return [*marked, [("  ctrl+e opens it in the editor", "quiet")]]
        if checked.manifest is None:
            return _wrong(checked.error, ascii_only=ascii_)
        manifest = checked.manifest
        called = ", ".join(sorted(manifest.dependencies))
        kind = f"a workflow that calls {called}" if called else "a function"
        app = self.context.app
        key = (self.source, f"{self._user}/{manifest.name}")
        before = app.store.functions.get(key)
        what = f"the next version of {manifest.name}, which is v{before.version}" if before else f"{manifest.name}, new"
        known = [identity.rpartition("/")[2] for source, identity in app.store.functions if source == self.source]
        missing = checked.missing(known)
        return [
            [(f"{good}{what}", "good"), (f"  {manifest.runtime}, {kind}", "text")],
            [(f"  {manifest.description}", "quiet")],
            [(f"  not added yet: {', '.join(missing)}", "warning")] if missing else [],
        ]

    # Adding

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter adds it."""
        event.stop()
        self.action_add()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Add, or close."""
        event.stop()
        if event.button.id == "add":
            self.action_add()
        else:
            self.dismiss()

    def action_edit(self) -> None:
        """The manifest, in the user's editor."""
        checked = self.checked
        for name in (FILE_NAME, *YAML_NAMES):
            if checked is not None and (checked.folder / name).is_file():
                self.context.app.do("Edit the manifest", self._edit(str(checked.folder), name))
                return

    async def _edit(self, path: str, name: str) -> None:
        await edit(self.context.app, path, name)
        self._look()

    def action_add(self) -> None:
        """Packs and sends it, unless something is wrong with it."""
        if self._busy:
            return
        if (reason := barred(self.context.app, self.source)) is not None:
            self._fail(reason)
            return
        self._busy = True
        self._error, self._progress = "", "looking at the folder"
        self.context.app.run_worker(self._add(), group="command", exit_on_error=False)
        self.context.app.hurry()

    async def _add(self) -> None:
        app, source, text = self.context.app, self.source, self.path.value
        try:
            checked = await asyncio.to_thread(folder.check, text)
            self.checked = checked
            if checked.manifest is None:
                self._progress = ""
                if not checked.error:
                    self._fail("name the folder that holds the function")
                return
            try:
                env = environment.given(shell.words(self.env.value), None)
            except Mee6Error as error:
                self._fail(error.message)
                self.env.focus()
                return
            line = self._line(env)  # which is kept and shown: the names, without what may be a secret
            self._adding, self._progress = checked.manifest.name, "packing"
            client = app.clients[source]
            path = await asyncio.to_thread(checked.folder.resolve)
            try:
                added = await client.add(path, env=env, on_progress=self._sent, on_line=self._told)
            except Mee6Error as error:
                app.note(line, error.message)
                if self in app.screen_stack:
                    self._fail(error.message if not error.traceback else f"{error.message}: {error.traceback.strip()}")
                else:
                    app.say(error.message, title=f"{checked.manifest.name} was not added", severity="error")
                return
            key = (source, f"{client.user}/{added.function.name}")
            await app.recall.added(key[1], path)
            app.did(line, _story(added))
            if self in app.screen_stack:
                self.dismiss()
                _select(self.context, key)
        finally:
            self._busy = False
            self._progress = ""
            app.under_way.pop(self._adding, None)
            app.hurry()

    def _fail(self, message: str) -> None:
        self._progress, self._error = "", message
        self.context.app.hurry()

    def _sent(self, sent: int, total: int) -> None:
        part = sent / max(1, total)
        ascii_only = self.context.app.palette.ascii
        self._progress = (
            f"{bar(part, BAR, ascii_only=ascii_only)} {size_text(sent)} of {size_text(total)} sent, {part:.0%}"
            if sent < total
            else f"{size_text(total)} sent; the agent takes it in"
        )
        self.context.app.under_way[self._adding] = f"{part:.0%}"

    def _told(self, line: str) -> None:
        self._progress = clean(line)
        self.context.app.under_way[self._adding] = "packages"


def _story(added: Added) -> str:
    function = added.function
    if added.unchanged:
        said = f"{function.name} is unchanged: v{function.version} has the same content"
    else:
        said = f"{function.name} v{function.version} was added"
    return f"{said}; still missing: {', '.join(added.missing)}" if added.missing else said


def _select(context: Context, key: Key) -> None:
    """Goes to the functions, with the cursor on the new one as soon as it is there."""
    from mee6tui.console.screens.table_page import TablePage

    app = context.app
    app.go(Place("functions"))
    page = app.page
    if isinstance(page, TablePage):
        page.point_at(key)


def _beginning(context: Context) -> str:
    """Where the selected function was added from, if it was from here."""
    selection = context.selection
    if selection is None or selection.kind != "function":
        return ""
    return context.app.recall.of(selection.key[1]).folder


def _wrong(text: str, *, ascii_only: bool) -> list[Line]:
    """An error, in three lines at most."""
    sign = "x " if ascii_only else "✗ "
    lines = textwrap.wrap(" ".join(text.split()), 88)[:3]
    return [[("  " if place else sign, "error"), (clean(line), "error")] for place, line in enumerate(lines)]
