"""Invoking a function: an argument that is checked as it is typed, what comes of it, and what to do with that."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Button, Input, Static, TextArea

from mee6.errors import InvalidInput
from mee6tui.cli.units import duration
from mee6tui.console import look, result, shell
from mee6tui.console.commands import Context, Key
from mee6tui.console.invoking import Invoking
from mee6tui.console.payload import CHECKED_CHARACTERS, Fault, Mode, Payload, fault_in
from mee6tui.console.screens.argument import Argument
from mee6tui.console.screens.dialogs import Dialog, Field, Form, Values, choice, fault_lines
from mee6tui.console.screens.page import Place
from mee6tui.console.targets import barred, other_user
from mee6tui.console.widgets.harmless import clean
from mee6tui.console.widgets.line import Line, Lines

LABEL: Final = 12
FOOT: Final = "enter runs  ctrl+n new line  ctrl+t kind  ctrl+up earlier  ctrl+y copies"
FOOT_LINES: Final = "ctrl+j or F5 runs  enter new line  ctrl+t kind  ctrl+up earlier"
FOOT_FIELD: Final = "enter runs  ctrl+t kind  ctrl+up earlier  ctrl+y copies the line"
FOOT_RUNNING: Final = "k cancels   t trace   l logs   e argument   esc leaves it running"
FOOT_ENDED: Final = "v view  c copy  s save  t trace  l logs  r again  e argument  Y line"


class InvokeScreen(Dialog):
    """The form and, below it, what came of it.

    Args:
        key: of the function.
        payload: to begin with.
        at_once: runs it without waiting to be told.
        note: said at first.
    """

    DEFAULT_CSS: ClassVar[str] = """
    InvokeScreen > #box { width: 100; height: auto; max-height: 96%; }
    InvokeScreen #form { height: auto; }
    InvokeScreen #mode { height: 1; margin-bottom: 1; }
    InvokeScreen #editor { height: 5; border: none; padding: 0 1; background: $surface; }
    InvokeScreen.-tall #editor { height: 9; }
    InvokeScreen.-ran #editor { height: 3; }
    InvokeScreen #path { display: none; background: $surface; }
    InvokeScreen.-file #path { display: block; }
    InvokeScreen.-file #editor { display: none; }
    InvokeScreen #check { height: 2; }
    InvokeScreen .row { margin-bottom: 1; }
    InvokeScreen.-ran #check { height: 1; }
    InvokeScreen .command { max-height: 2; margin-top: 0; }
    InvokeScreen.-ran .buttons { display: none; }
    InvokeScreen.-ran .row { display: none; }
    InvokeScreen .label { width: 12; }
    InvokeScreen #status { height: 1; margin-top: 1; display: none; }
    InvokeScreen #result { height: 7; border: none; padding: 0 1; background: $background; display: none; }
    InvokeScreen.-tall #result { height: 18; }
    InvokeScreen.-ran #status, InvokeScreen.-ran #result { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+j,ctrl+enter,f5,ctrl+r", "run", "Run", show=False, id="invoke.run", priority=True),
        Binding("ctrl+t", "mode", "Text, JSON, file", show=False, id="invoke.mode", priority=True),
        Binding("ctrl+up,alt+up", "recall(1)", "Earlier", show=False, id="invoke.earlier", priority=True),
        Binding("ctrl+down,alt+down", "recall(-1)", "Later", show=False, id="invoke.later", priority=True),
        Binding("ctrl+k,k", "cancel", "Cancel it", show=False, id="invoke.cancel"),
        Binding("t", "trace", "Its trace", show=False, id="invoke.trace"),
        Binding("l", "logs", "Its logs", show=False, id="invoke.logs"),
        Binding("v", "view", "Another view", show=False, id="invoke.view"),
        Binding("c", "copy", "Copy the result", show=False, id="invoke.copy"),
        Binding("s", "save", "Save the result", show=False, id="invoke.save"),
        Binding("r", "run", "Run again", show=False, id="invoke.again"),
        Binding("e", "argument", "Back to the argument", show=False, id="invoke.argument"),
    ]
    FOOT = FOOT

    def __init__(self, context: Context, key: Key, payload: Payload, *, at_once: bool = False, note: str = "") -> None:
        super().__init__(context)
        self.key = key
        self.user, _, self.name_ = key[1].rpartition("/")
        self.mode = payload.mode
        self.running: Invoking | None = None
        self._at_once = at_once
        self._note = note
        self._earlier = context.app.recall.of(key[1]).payloads
        self._recalled = len(self._earlier)
        self._places: dict[range, str] = {}
        self._view = ""
        self._shown: Invoking | None = None
        """Whose end is shown."""
        self._checked: tuple[Mode, str] | None = None
        self._fault: Fault | None = None
        self._said = FOOT
        self._mode = Lines(ground="panel", clicked=self._click_mode, id="mode")
        self._check = Lines(ground="panel", id="check")
        self._status = Lines(ground="panel", id="status")
        self.editor = Argument(payload.text, is_json=lambda: self.mode is Mode.JSON, run=self.action_run, id="editor")
        self.path = Input(
            payload.text if payload.mode is Mode.FILE else "", placeholder="path of a file", id="path", compact=True
        )
        self.limit = Input(payload.timeout, placeholder="30s; empty = the function's own", id="limit", compact=True)
        self.path.cursor_blink = self.limit.cursor_blink = False
        self.result = TextArea("", read_only=True, compact=True, id="result", highlight_cursor_line=False)
        self.result.cursor_blink = False

    def heading(self) -> str:
        """Which function, of whom and where."""
        app, (source, _name) = self.context.app, self.key
        found = app.store.functions.get(self.key)
        version = f" v{found.version}" if found else ""
        where = f" on {source}" if len(app.store.links) > 1 else ""
        return f"Invoke {self.name_}{version} of {self.user}{where}"

    def body(self) -> Widget:
        """The form, then the result."""
        return Vertical(
            self._mode,
            self.editor,
            self.path,
            self._check,
            Horizontal(Static("time limit", classes="label"), self.limit, classes="row"),
            Static("", classes="command", markup=False),
            Horizontal(
                Button("Run", id="run", variant="primary", compact=True),
                Button("Close", id="close", compact=True),
                classes="buttons",
            ),
            self._status,
            self.result,
            id="form",
        )

    def on_mount(self) -> None:
        """The argument is typed into; or it runs."""
        super().on_mount()
        self.set_class(self.app.size.height >= 36, "-tall")
        self._show_mode()
        self.show_lines()
        self.editor.select_all()  # what is typed goes over what was sent last
        self.set_focus(self._typed_into)
        self.flush(0.0)
        if self._at_once:
            self.action_run()

    def on_resize(self) -> None:
        """Takes the room there is."""
        self.set_class(self.app.size.height >= 36, "-tall")

    # The argument

    @property
    def _typed_into(self) -> Input | TextArea:
        return self.path if self.mode is Mode.FILE else self.editor

    @property
    def payload(self) -> Payload:
        """What is typed."""
        text = self.path.value.strip() if self.mode is Mode.FILE else self.editor.text
        return Payload(self.mode, text, self.limit.value.strip())

    def lines(self) -> Sequence[str]:
        """What does the same."""
        app, source = self.context.app, self.key[0]
        user = other_user(app, source, self.user)
        return [shell.invoke(self.name_, self.payload, app.flags.get(source, ""), user)]

    def show_lines(self) -> None:
        """In two lines at most."""
        text = "$ " + clean(self.lines()[0].replace("\n", "␤"))
        room = 2 * max(20, min(100, self.app.size.width) - 8)
        self.query_one(".command", Static).update(text if len(text) <= room else text[: room - 1] + "…")

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """The command line follows."""
        event.stop()
        if event.text_area is self.editor:
            self.show_lines()

    def on_input_changed(self, event: Input.Changed) -> None:
        """The command line follows."""
        event.stop()
        self.show_lines()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter runs it."""
        event.stop()
        self.action_run()

    def action_mode(self) -> None:
        """Text, JSON, file, text."""
        modes = list(Mode)
        self._set_mode(modes[(modes.index(self.mode) + 1) % len(modes)])

    def _click_mode(self, x: int, _y: int) -> None:
        found = next((option for place, option in self._places.items() if x in place), None)
        if found is not None:
            self._set_mode(Mode(found))

    def _set_mode(self, mode: Mode) -> None:
        self.mode = mode
        self._show_mode()
        self.show_lines()
        self._typed_into.focus()
        self.context.app.hurry()

    def _show_mode(self) -> None:
        self.set_class(self.mode is Mode.FILE, "-file")
        line, self._places = choice(LABEL, list(Mode), self.mode)
        known = f"  {len(self._earlier)} earlier" if self._earlier else ""
        self._mode.show([[("argument".ljust(LABEL), "quiet"), *line, (known, "quiet")]])

    def action_recall(self, by: int) -> None:
        """What was sent earlier, or later."""
        if not self._earlier:
            self._note = "it was never invoked from here"
            return
        self._recalled = max(0, min(len(self._earlier), self._recalled - by))
        found = self._earlier[self._recalled] if self._recalled < len(self._earlier) else Payload(self.mode)
        self._take(found)

    def _take(self, payload: Payload) -> None:
        self.mode = payload.mode
        if payload.mode is Mode.FILE:
            self.path.value = payload.text
        else:
            self.editor.text = payload.text
            self.editor.move_cursor(self.editor.document.end)
        self.limit.value = payload.timeout
        self._show_mode()
        self.show_lines()
        self._typed_into.focus()

    def _check_lines(self) -> list[Line]:
        payload = self.payload
        if self._checked != (payload.mode, payload.text):
            self._checked = (payload.mode, payload.text)
            short = len(payload.text) <= CHECKED_CHARACTERS
            self._fault = fault_in(payload.text) if payload.mode is Mode.JSON and short else None
        if self._fault is not None:
            return fault_lines(self._fault, ascii_only=self.context.app.palette.ascii)
        if self._note:
            return [[(self._note, "warning")], []]
        if payload.mode is Mode.JSON:
            said = "sound JSON" if payload.text.strip() else "nothing: sent as null"
            return [[(said, "good" if payload.text.strip() else "quiet")], []]
        return [[], []]

    # Running

    def action_run(self) -> None:
        """Sends it, unless it is not sound, or one runs."""
        app = self.context.app
        if self.running is not None and not self.running.ended:
            self._complain("one runs already; k cancels it")
            return
        payload = self.payload
        try:
            _ = payload.timeout_s
        except InvalidInput as error:
            self._complain(error.message)
            self.limit.focus()
            return
        if (reason := barred(app, self.key[0])) is not None:
            self._complain(reason)
            return
        self.flush(0.0)
        if self._fault is not None:
            return
        self._note = ""
        self._view = ""
        self.running = running = Invoking(app.clients[self.key[0]], self.key, payload, self._began)
        self.add_class("-ran")
        self.result.text = ""
        self.result.focus()
        app.run_worker(self._until_it_ends(running, self.lines()[0]), group="command", exit_on_error=False)
        app.hurry()

    def _began(self, key: Key) -> None:
        if self.running is not None:
            self.context.app.invoked[key] = self.running.payload

    async def _until_it_ends(self, running: Invoking, line: str) -> None:
        app = self.context.app
        await app.recall.used(self.key[1], running.payload)
        self._earlier = app.recall.of(self.key[1]).payloads
        self._recalled = len(self._earlier) - 1
        await running.run()
        error = running.error.message if running.error else ""
        app.note(line, error)
        if self not in app.screen_stack:  # it was left running
            if error:
                app.say(error, title=f"{self.name_} {running.id}", severity="error")
            elif running.outcome is not None:
                view = result.first_view(running.outcome)
                app.say(result.shown(running.outcome, view), title=f"{self.name_} {running.id} succeeded")
        app.hurry()

    def _complain(self, message: str) -> None:
        self._note = message
        self.context.app.hurry()
        self.flush(0.0)

    def flush(self, now: float) -> None:  # noqa: ARG002 - what it shows is in the store's own time
        """Shows the check, how it goes, and the result once."""
        self._check.show(self._check_lines())
        self._show_foot()
        running = self.running
        if running is None:
            return
        self._status.show([self._status_line(running)])
        if running.ended and self._shown is not running:
            self._shown = running
            self._show_result()

    def _status_line(self, running: Invoking) -> Line:
        app = self.context.app
        found = app.store.invocations.get((running.source, running.id)) if running.id else None
        if running.error is not None and found is None:
            return [("refused", "*error")]
        if found is None:
            return [("sending", "*quiet")] if running.outcome is None else [("succeeded", "*good")]
        sign = look.INVOCATIONS.get(found.state, look.UNKNOWN)
        end = found.ended_ns or app.store.agent_now(running.source, app.now())
        line: list[tuple[str, str]] = [
            (f"{app.palette.glyph(sign)} {found.state}", f"*{sign.tone}"),
            (f"  {duration(max(0, int(end - found.accepted_ns)))}", "text"),
        ]
        if found.start:
            line.append((f"  {found.start} start", "accent" if found.start == "cold" else "quiet"))
        if found.worker:
            line.append((f"  in {found.worker}", "quiet"))
        if running.outcome is not None:
            line.append((f"  {result.summary(running.outcome)}, {self._view}", "quiet"))
        line.append((f"  {running.id}", "quiet"))
        return line

    def _show_result(self) -> None:
        running = self.running
        if running is None:
            return
        if running.outcome is not None:
            self._view = self._view or result.first_view(running.outcome)
            self.result.text = result.shown(running.outcome, self._view)
        elif running.error is not None:
            self.result.text = result.error_text(running.error)

    def _show_foot(self) -> None:
        running = self.running
        if self.has_class("-ran") and running is not None:
            said = FOOT_ENDED if running.ended else FOOT_RUNNING
        elif self.focused is not self.editor:
            said = FOOT_FIELD
        else:
            said = FOOT if self.editor.is_whole(self._fault) else FOOT_LINES
        if said != self._said:
            self._said = said
            self.foot.update(said)

    # With what came of it

    def action_cancel(self) -> None:
        """Calls off what runs."""
        if self.running is not None and not self.running.ended:
            self.context.app.do("Cancel the invocation", self.running.cancel())

    def action_view(self) -> None:
        """Laid out, as it came, byte by byte."""
        if self.running is not None and self.running.outcome is not None:
            place = result.VIEWS.index(self._view)
            self._view = result.VIEWS[(place + 1) % len(result.VIEWS)]
            self._show_result()
            self.context.app.hurry()

    def action_copy(self) -> None:
        """Copies what is selected, or else the whole result."""
        self.context.app.copy(self.result.selected_text or self.result.text)

    def action_trace(self) -> None:
        """Goes to what it did."""
        self._leave_for("trace")

    def action_logs(self) -> None:
        """Goes to what it wrote."""
        self._leave_for("logs")

    def _leave_for(self, page: str) -> None:
        from mee6tui.console.screens.registry import PAGES

        running = self.running
        if running is None or not running.id:
            return
        there = page if any(page == kind.NAME for kind in PAGES) else "detail"
        self.dismiss()
        self.context.app.go(Place(there, (running.source, running.id), "invocation"))

    def action_argument(self) -> None:
        """Back to the form."""
        self.remove_class("-ran")
        self._typed_into.focus()

    def action_save(self) -> None:
        """Asks for a file."""
        running = self.running
        if running is None or running.outcome is None:
            return
        outcome = running.outcome

        async def submit(values: Values) -> None:
            path = values["path"]
            try:
                await asyncio.to_thread(_write_new, path, outcome.data)
            except FileExistsError:
                raise InvalidInput(f"{path} exists already; choose another name") from None
            except OSError as error:
                raise InvalidInput(f"cannot write {path}: {error.strerror}") from error
            self.context.app.say(f"{result.summary(outcome)} saved as {path}")

        first = f"{self.name_}-{running.id}{result.suffix(outcome)}"
        self.app.push_screen(Form(self.context, "Save the result", [Field("path", "as", first)], "Save", submit))

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Run or close."""
        event.stop()
        if event.button.id == "run":
            self.action_run()
        else:
            self.dismiss()


def _write_new(path: str, data: bytes) -> None:
    with Path(path).expanduser().open("xb") as file:
        file.write(data)
