"""Writes constraints.txt: every package of the pinned set with its version and the hashes of its files.

uv resolves for all Python versions at once; of the files it finds, only those for Linux on x86-64 and aarch64
are kept, so that the result stays readable. No URL, host or path enters it. Usage: make lock
"""  # noqa: INP001  # a script, not a package

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from packaging.markers import Marker

PYTHONS = ("3.11", "3.12", "3.13")
MACHINES = ("x86_64", "aarch64")
RESOLVE = (
    "pip compile pyproject.toml --universal --python-version 3.11 --extra train --extra dask --extra s3"
    " --extra sftp --group dev --group bench --format pylock.toml --no-header --no-annotate --quiet"
)
# A wheel for one of PYTHONS (or any, or the stable ABI of an older one) on glibc Linux, or pure Python.
WHEEL = re.compile(
    r"-(?:[\w.]*py3[\w.]*-none|(?:cp31[123]-)+cp31[123]|cp3(?:[2-9]|10|11|12|13)-abi3|cp31[123]-none)"
    r"-(?:any|[\w.]*manylinux\w*(?:x86_64|aarch64)[\w.]*)\.whl$"
)
HEADER = """\
# The pinned set: base, train, dask, s3, sftp, development, benchmarks. Written by `make lock`; do not edit.
# Linux on x86-64 and aarch64, Python 3.11 to 3.13.
"""


def main() -> None:
    """Resolve with the uv given as the first argument and write constraints.txt."""
    uv = sys.argv[1]
    text = subprocess.run([uv, *RESOLVE.split()], check=True, capture_output=True, text=True).stdout  # noqa: S603  # our own tool
    packages = [package for package in tomllib.loads(text)["packages"] if "version" in package]
    entries = [entry for package in packages if (entry := _entry(package))]
    Path("constraints.txt").write_text(HEADER + "\n".join(entries) + "\n", encoding="utf-8")


def _entry(package: dict[str, Any]) -> str:
    """Return the lines of one package, or "" where none of our environments installs it."""
    marker = package.get("marker", "")
    wanted = [_applies(marker, python, machine) for python in PYTHONS for machine in MACHINES]
    if not any(wanted):
        return ""
    condition = "" if all(wanted) else f" ; {marker}"
    hashes = sorted(f"    --hash=sha256:{digest}" for digest in _digests(package))
    return " \\\n".join([f"{package['name']}=={package['version']}{condition}", *hashes])


def _applies(marker: str, python: str, machine: str) -> bool:
    environment = {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }
    return not marker or Marker(marker).evaluate(environment)


def _digests(package: dict[str, Any]) -> list[str]:
    wheels = [wheel for wheel in package.get("wheels", []) if WHEEL.search(_name(wheel))]
    # A source distribution only where there is nothing better: what is built differs from machine to machine.
    files = wheels or [package["sdist"]]
    return [file["hashes"]["sha256"] for file in files]


def _name(file: dict[str, Any]) -> str:
    return str(file.get("name") or file["url"].rsplit("/", 1)[1])


if __name__ == "__main__":
    main()
