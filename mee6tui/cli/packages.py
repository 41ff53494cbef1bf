"""What pip and npm said when they failed, cut down to what tells why."""

from __future__ import annotations

import re
from typing import Final

MOST: Final = 8
"""Lines that are shown of what may be hundreds."""
_TELLS: Final = re.compile(r"\s*(?:error|npm (?:error|ERR!)|\w*(?:Error|Exception)\b|fatal|.*\berror:)", re.IGNORECASE)
_IDLE: Final = re.compile(
    r"npm (?:error|ERR!)\s*(?:$|(?:code|A complete log|errno|path|command|notarget In most|404\s*$|404 Note))|"
    r"\s*(?:note|hint|warning):|\s*error: subprocess-exited|.*\bretrying\b",
    re.IGNORECASE,
)
_END: Final = "[end of output]"


def essential(said: str) -> list[str]:
    """The lines that tell why: those that call themselves errors, and the last before a build's output ended."""
    lines = said.splitlines()
    telling = {number for number, line in enumerate(lines) if _TELLS.match(line) and not _IDLE.match(line)}
    for number, line in enumerate(lines):
        if _END in line:
            telling |= {before for before in range(max(0, number - 2), number) if lines[before].strip()}
    found = list(dict.fromkeys(lines[number].strip() for number in sorted(telling)))
    return found[-MOST:] if found else [line.strip() for line in lines if line.strip()][-MOST // 2 :]
