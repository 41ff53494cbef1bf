"""The bootstrap base: an image made on this machine of Debian packages, for where no registry is reached."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.images.progress import Say
from mee6.errors import Conflict, Mee6Error

if TYPE_CHECKING:
    from docker import APIClient

BOOTSTRAP: Final = "bootstrap"
BOOTSTRAP_IMAGE: Final = "mee6/base-bootstrap"
LABEL_BASE: Final = "mee6.base"
"""On every image of ours: what it was made from."""
_TIMEOUT_S: Final = 900.0
_LAST_LINES: Final = 12
_PACKAGES: Final = "python3,nodejs,dash,coreutils,libc-bin,base-files"
# Extracted packages have not run their maintainer scripts: what those would have made is made here.
_HOOK: Final = """set -e; cd "$1"; ln -sf dash usr/bin/sh
rm -rf usr/share/doc usr/share/man usr/share/locale var/lib/apt var/cache/apt
mkdir -p tmp root etc/ssl/certs; chmod 1777 tmp
printf 'root:x:0:0:root:/root:/bin/sh\\nnobody:x:65534:65534::/:/bin/sh\\n' > etc/passwd
printf 'root:x:0:\\nnogroup:x:65534:\\n' > etc/group
if [ -f /etc/ssl/certs/ca-certificates.crt ]; then cp /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/; fi
/sbin/ldconfig -r .
"""


def make_bootstrap(api: APIClient, say: Say) -> None:
    """Makes the base of Debian packages, unless it is there."""
    from docker.errors import ImageNotFound

    say("base", BOOTSTRAP_IMAGE, 0.0)
    try:
        api.inspect_image(BOOTSTRAP_IMAGE)  # type: ignore[no-untyped-call]
    except ImageNotFound:
        pass
    else:
        return
    with tempfile.TemporaryDirectory(prefix="mee6-base-") as folder:
        archive = Path(folder, "base.tar")
        _debootstrap(archive, say)
        say("base", f"importing {archive.stat().st_size >> 20} MiB", 0.0)
        changes = [
            "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            f"LABEL {LABEL_BASE}={BOOTSTRAP}",
        ]
        answer = api.import_image_from_file(str(archive), repository=BOOTSTRAP_IMAGE, tag="latest", changes=changes)
        if '"error"' in answer:
            raise Mee6Error(f"the engine did not take the base image: {answer.strip()}")


def _debootstrap(archive: Path, say: Say) -> None:
    suite, mirror = _debian()
    command = ["mmdebstrap", "--variant=extract", f"--include={_PACKAGES}"]
    command += ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"]
    command += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "doc", "locale")]
    command += [f"--extract-hook={_HOOK}", suite, str(archive), *([mirror] if mirror else [])]
    last: deque[str] = deque(maxlen=_LAST_LINES)
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError as error:
        raise Conflict(
            "mmdebstrap is not installed, and makes the bootstrap base; run: apt-get install -y mmdebstrap"
        ) from error
    with process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                last.append(line.rstrip())
                if line.startswith("I: "):
                    say("base", line[3:].partition(":")[0].strip(), 0.0)
            code = process.wait(_TIMEOUT_S)
        except BaseException:
            process.terminate()
            raise
    if code:
        raise Mee6Error(f"mmdebstrap failed with status {code}", traceback="\n".join(last))


def _debian() -> tuple[str, str]:
    """Suite and mirror of this machine's own packages, where it is a Debian; else a suite, and no mirror."""
    try:
        release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', Path("/etc/os-release").read_text(), re.MULTILINE))
    except OSError:
        release = {}
    if release.get("ID") != "debian":
        return "bookworm", ""
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    text = "\n".join(file.read_text() for file in files if file.is_file())
    mirror = re.search(r"^(?:URIs:|deb(?: \[[^]]*\])?) *(https?://\S+/debian)/?(?:\s|$)", text, re.MULTILINE)
    return release.get("VERSION_CODENAME") or "bookworm", mirror.group(1) if mirror else ""
