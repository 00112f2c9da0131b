"""Converts a text as a user does, and says what a refusal must look like: one error, a hint, nothing left."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command, Outcome

GOOD = "label,mass,pt\n" + "".join(f"{index % 2},{index}.5,{index}\n" for index in range(20))


def converter(folder: Path, command: Command) -> Callable[..., Outcome]:
    """Return a function that writes raw.csv in `folder`, the working one, and converts it to shards/."""

    def write_and_convert(data: str | bytes | None, *options: str) -> Outcome:
        before = set(folder.iterdir())
        source = folder / "raw.csv"
        if data is not None:
            source.write_bytes(data.encode() if isinstance(data, str) else data)
        outcome = command("convert", "raw.csv", "shards", *options)
        if outcome.status:
            assert set(folder.iterdir()) - before <= {source}
        return outcome

    return write_and_convert


def assert_refused(outcome: Outcome, code: str, wording: str, *, hint: str = "", status: int = 3) -> None:
    """Fail unless the command said one error of this code and wording, a hint, and nothing else."""
    assert outcome.status == status, outcome.stderr
    assert outcome.stdout == ""
    lines = outcome.stderr.splitlines()
    assert lines[0].startswith(f"error[{code}] "), outcome.stderr
    assert wording in lines[0]
    assert len(lines) <= 2
    if hint:
        assert lines[1].startswith("  hint: ")
        assert hint in lines[1]
    assert "Traceback" not in outcome.stderr
