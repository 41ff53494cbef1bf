"""Base images as users bring them, made of the base that tests use; and native code to lay into them."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from agent import images

TEST_BASE: Final = os.environ.get("MEE6_TEST_BASE", images.BOOTSTRAP)
"""As `mee6 image build` takes it."""
FROM: Final = images.BOOTSTRAP_IMAGE if TEST_BASE == images.BOOTSTRAP else TEST_BASE
"""As a Dockerfile takes it."""
COMPILED: Final = "mee6-test/base"
"""The same with the standard library's bytecode, so that not every image of a test's has to make it."""

_COMPILE: Final = "import compileall, sysconfig; compileall.compile_dir(sysconfig.get_path('stdlib'), quiet=2)"
_LIBRARY: Final = "int answer(void) { return 42; }\n"
_TOOL: Final = '#include <stdio.h>\nint main(void) { puts("a native tool"); return 0; }\n'
_EXTENSION: Final = """
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
int answer(void);
static PyObject *call(PyObject *self, PyObject *none) { return PyLong_FromLong(answer()); }
static PyMethodDef methods[] = {{"answer", call, METH_NOARGS, ""}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_native", NULL, -1, methods};
PyMODINIT_FUNC PyInit__native(void) { return PyModule_Create(&module); }
"""


def why_no_compiler() -> str:
    """What is missing for native code, in one line; empty when nothing is."""
    if shutil.which("gcc") is None:
        return "gcc is not on PATH"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return f"the headers of {sys.executable} are not installed"
    return ""


def compile_native(folder: Path) -> None:
    """Makes `lib/libanswer.so`, `bin/native-tool` and `package/native`, whose extension needs the library."""
    for name in ("lib", "bin", "package/native"):
        (folder / name).mkdir(parents=True)
    library, package = folder / "lib" / "libanswer.so", folder / "package" / "native"
    _compile(_LIBRARY, library, "-shared", "-fPIC")
    _compile(_TOOL, folder / "bin" / "native-tool")
    include = f"-I{sysconfig.get_path('include')}"
    # Of the stable ABI: the base's Python may be another one than this.
    _compile(_EXTENSION, package / "_native.abi3.so", "-shared", "-fPIC", include, f"-L{library.parent}", "-lanswer")
    (package / "__init__.py").write_text("from native._native import answer\n")


def extension_wheel(folder: Path, name: str = "fast", tag: str = "cp311-abi3") -> Path:
    """A wheel of one extension module, for this machine."""
    import zipfile

    built = folder / f"{name}.abi3.so"
    folder.mkdir(parents=True, exist_ok=True)
    text = _EXTENSION.replace("_native", name).replace("int answer(void);", "static int answer(void) { return 42; }")
    _compile(text, built, "-shared", "-fPIC", f"-I{sysconfig.get_path('include')}")
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    wheel, info = folder / f"{name}-1.0-{tag}-{platform}.whl", f"{name}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(built, built.name)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        kind = f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}-{platform}\n"
        archive.writestr(f"{info}/WHEEL", kind)
        archive.writestr(f"{info}/RECORD", "")
    built.unlink()
    return wheel


def _compile(text: str, out: Path, *options: str) -> None:
    command = ["gcc", "-x", "c", "-", "-x", "none", "-o", str(out), *options]
    subprocess.run(command, input=text.encode(), check=True, capture_output=True)


@contextmanager
def base_image(*steps: str, files: Mapping[str, Path | bytes] | None = None, name: str = "") -> Iterator[str]:
    """A base image made for one test, by name; removed at its end.

    Args:
        steps: lines of a Dockerfile, after its FROM.
        files: what they may copy: path in the context -> a file or folder here, or bytes.
    """
    name = name or f"mee6-test/base-{uuid.uuid4().hex[:8]}"
    with images.connect() as api:
        make(api, COMPILED, f'RUN ["python3", "-c", "{_COMPILE}"]', start=FROM)  # of the engine's cache, but the first
        make(api, name, *steps, files=files)
        try:
            yield name
        finally:
            with images.connect() as again:  # the other one may have been idle for long
                remove(again, name)


def make(
    api: Any, name: str, *steps: str, files: Mapping[str, Path | bytes] | None = None, start: str = COMPILED
) -> None:
    """Makes it.

    Raises:
        AssertionError: the engine did not.
    """
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for path, content in {**(files or {}), "Dockerfile": "\n".join([f"FROM {start}", *steps]).encode()}.items():
                if isinstance(content, Path):
                    tar.add(content, path)
                else:
                    member = tarfile.TarInfo(path)
                    member.size, member.mode = len(content), 0o755
                    tar.addfile(member, io.BytesIO(content))
        buffer.seek(0)
        options: dict[str, Any] = {"custom_context": True, "rm": True, "forcerm": True, "decode": True}
        lines = list(api.build(fileobj=buffer, tag=name, network_mode="none", **options))
    assert not [line for line in lines if "error" in line], lines[-3:]


def remove(api: Any, name: str) -> None:
    """Removes it, unless it has gone; one that images are made from loses its name."""
    from docker.errors import ImageNotFound

    try:
        api.remove_image(name, force=True)
    except ImageNotFound:
        return


def other_python(prefix: Path) -> str:
    """Lays a Python of another version than the base's and this one into `prefix`, as for /usr/local.

    Returns:
        its version, as MAJOR.MINOR; empty where this machine has none.
    """
    roots = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for minor in (12, 13, 14):
        if sys.version_info[:2] == (3, minor):
            continue
        name = f"python3.{minor}"
        candidates = [shutil.which(name), *sorted(str(path) for path in roots.glob(f"*/bin/{name}"))]
        for candidate in filter(None, candidates):
            ask = [candidate, "-I", "-c", "import sys; print(sys.base_prefix)"]
            done = subprocess.run(ask, capture_output=True, text=True, timeout=20, check=False)
            if done.returncode == 0:
                _lay(Path(done.stdout.strip()), name, prefix)
                return f"3.{minor}"
    return ""


def _lay(found: Path, name: str, prefix: Path) -> None:
    junk = shutil.ignore_patterns(
        "test", "tests", "__pycache__", "idlelib", "ensurepip", "config-*", "*.a", "site-packages", "dist-packages"
    )
    shutil.copytree(found / "lib" / name, prefix / "lib" / name, ignore=junk)
    (prefix / "bin").mkdir()
    shutil.copy(found / "bin" / name, prefix / "bin" / name)
    (prefix / "bin" / "python3").symlink_to(name)
    for library in (found / "lib").glob(f"lib{name}*.so*"):
        shutil.copy(library, prefix / "lib" / library.name)
