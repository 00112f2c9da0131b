"""constraints.txt pins everything, by hash, and tells nobody where to fetch it."""

from __future__ import annotations

import re
import tomllib

from support.documents import document

LOCK = document("constraints.txt")
PROJECT = tomllib.loads(document("pyproject.toml"))


def requirements() -> list[str]:
    """Return what the pinned set must hold: base, train, dask, development and build."""
    extras = PROJECT["project"]["optional-dependencies"]
    groups = PROJECT["dependency-groups"]
    listed = [
        *PROJECT["project"]["dependencies"],
        *extras["train"],
        *extras["dask"],
        *groups["build"],
        *groups["dev"],
    ]
    return [entry for entry in listed if isinstance(entry, str)] + PROJECT["build-system"]["requires"]


def name_of(requirement: str) -> str:
    """Return the normalized name of a requirement."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~\[; ]", requirement)[0]).lower()


def test_every_requirement_is_pinned() -> None:
    """What pyproject.toml asks for is in the lock, once per environment."""
    pinned = set(re.findall(r"^([a-z0-9.-]+)==", LOCK, re.MULTILINE))
    assert {name_of(requirement) for requirement in requirements()} - pinned == set()


def test_every_pin_has_a_hash() -> None:
    """Nothing in the lock would be installed unchecked."""
    pins = [entry for entry in re.split(r"\n(?=\w)", LOCK) if not entry.startswith("#")]
    assert len(pins) > len(requirements())
    assert [pin for pin in pins if not re.search(r"--hash=sha256:[0-9a-f]{64}", pin)] == []


def test_lock_names_no_place() -> None:
    """No address, host, path or option of an index stands in the lock."""
    assert re.findall(r"://|@ |/|--(?:extra-)?index-url|--find-links|--trusted-host", LOCK) == []
