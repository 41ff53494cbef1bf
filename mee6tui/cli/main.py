"""The command `mee6`: mounts the commands, and does nothing else.

What a command needs beyond typer is imported when it runs: `mee6 --help` loads neither grpc nor textual.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mee6tui.cli import (
    act,
    agent,
    completion,
    console,
    context,
    demo,
    doctor,
    explain,
    image,
    scaffold,
    top,
    trace,
    version,
    watch,
    worker,
)
from mee6tui.cli.session import Root, examples, group

app = group(
    "Run functions and workflows on this machine, and see what happens.",
    cls=Root,
    epilog=examples(
        "mee6 demo                       all of it in half a minute",
        "mee6                            open the console, on a terminal",
        "mee6 agent serve --detach       start an agent",
        "mee6 init hello                 write a function",
        "mee6 act add hello              add it",
        "mee6 act invoke hello you       run it",
        "mee6 trace                      see what that did",
    ),
)

app.command(epilog=examples("mee6 console", "mee6 console --context edge --context lab"))(console.console)
app.add_typer(agent.app, name="agent")
app.add_typer(act.app, name="act")
app.command(epilog=examples("mee6 trace", "mee6 trace 0c4f", "mee6 trace -o json"))(trace.trace)
app.command(epilog=examples("mee6 explain", "mee6 explain 0c4f", "mee6 explain -o json"))(explain.explain)
app.command(
    epilog=examples(
        "mee6 watch",
        "mee6 watch --kind worker --kind handover",
        "mee6 watch -o jsonl --function echo --reconnect | jq .",
    )
)(watch.watch)
app.command(epilog=examples("mee6 top", "mee6 top --sort memory -n 5 --interval 2s", "mee6 top -o json | jq .workers"))(
    top.top
)
app.command(epilog=examples("mee6 init hello", "mee6 init greeter --runtime nodejs --workflow"))(scaffold.init)
app.command(epilog=examples("mee6 demo", "mee6 demo --keep"))(demo.demo)
app.add_typer(worker.app, name="worker")
app.add_typer(image.app, name="image")
app.command(epilog=examples("mee6 doctor", "mee6 doctor --driver docker", "mee6 doctor -o json"))(doctor.doctor)
app.add_typer(context.app, name="context")
app.command(epilog=examples("mee6 version", "mee6 version -o json"))(version.version)
app.command(epilog=examples('eval "$(mee6 completion bash)"', "mee6 completion fish | source"))(completion.completion)


def main() -> None:
    """The entry point."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # it was started with that closed
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - for as long as this runs
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what its C core has to say is not for whoever runs a command
    app()


if __name__ == "__main__":
    main()
