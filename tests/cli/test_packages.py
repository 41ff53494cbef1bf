"""What is shown of what pip and npm say."""

from __future__ import annotations

from mee6tui.cli.packages import MOST, essential

BUILD = """Collecting odd
  error: subprocess-exited-with-error

  x Getting requirements to build wheel did not run successfully.
  | exit code: 1
  +-> [20 lines of output]
      Traceback (most recent call last):
        File "setup.py", line 3, in <module>
      RuntimeError: no compiler 'cc' was found
      [end of output]

  note: This error originates from a subprocess, and is likely not a problem with pip.
ERROR: Failed to build 'odd' when getting requirements to build wheel
"""
NPM = """npm error code ERESOLVE
npm error ERESOLVE unable to resolve dependency tree
npm error
npm error Found: react@18.0.0
npm error A complete log of this run can be found in: /home/.npm/_logs/x.log
"""


def test_a_build_that_failed_is_told_by_its_last_words() -> None:
    assert essential(BUILD) == [
        'File "setup.py", line 3, in <module>',
        "RuntimeError: no compiler 'cc' was found",
        "ERROR: Failed to build 'odd' when getting requirements to build wheel",
    ]


def test_npm_is_told_without_its_ornaments() -> None:
    assert essential(NPM) == ["npm error ERESOLVE unable to resolve dependency tree", "npm error Found: react@18.0.0"]


def test_what_tells_nothing_is_shown_by_its_end_and_never_much() -> None:
    assert essential("one\ntwo\n\nthree\n") == ["one", "two", "three"]
    assert essential("\n".join(f"line {number}" for number in range(99)))[-1] == "line 98"
    assert len(essential("\n".join(f"ERROR: {number}" for number in range(99)))) == MOST
    assert essential("") == []
