"""The target of the fuzzer, called with its seeds: it does not rot, and it would notice a wrong program."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.source import fast
from support.fuzz_target import check_input, dictionary, seeds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SEEDS = dict(seeds())


def check_all(path: Path) -> Counter[str]:
    """Check every seed; return how many were read, faulty, refused."""
    return Counter(check_input(data, path) for data in SEEDS.values())


def test_every_seed_passes(tmp_path: Path) -> None:
    """Each fixture is read or refused as the oracle says, however it is cut; most get beyond the plan."""
    found = check_all(tmp_path / "raw.csv")
    assert found.total() > 400
    assert min(found["read"], found["faulty"], found["refused"]) > 50


@pytest.mark.parametrize("length", range(40))
def test_short_inputs_pass(tmp_path: Path, length: int) -> None:
    """Inputs of a few bytes, which say less than how to read, or hold no file, are refused or read."""
    for data in (b"\0" * length, bytes(range(length)), SEEDS["clothes: clean"][:length]):
        assert check_input(data, tmp_path / "raw.csv") in {"refused", "faulty", "read"}


def no_doubt(*_: object, **__: object) -> bool:
    """Stand for a check that sees nothing."""
    return False


def lenient(text: bytes, *_: object, **__: object) -> Any:
    """Stand for a careful parser that fails by another error than ours."""
    raise ValueError(text)


@pytest.mark.parametrize(
    ("place", "replacement"),
    [("_has_odd_bytes", no_doubt), ("_may_be_short", no_doubt), ("careful.parse", lenient)],
)
def test_a_wrong_program_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, replacement: Callable[..., Any]
) -> None:
    """Without one of the checks behind Polars, or with an error that is not ours, a seed fails."""
    monkeypatch.setattr(f"{fast.__name__}.{place}", replacement)
    with pytest.raises((AssertionError, ValueError)):
        check_all(tmp_path / "raw.csv")


def test_the_dictionary_is_one_word_a_line() -> None:
    """What libFuzzer reads: each line a quoted word of escaped bytes, none empty."""
    lines = dictionary().decode("ascii").splitlines()
    assert len(lines) > 50
    assert all(line.startswith('"\\x') and line.endswith('"') and len(line) % 4 == 2 for line in lines)
