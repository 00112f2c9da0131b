"""Unfinished work is not continued with other options, or from a source that has changed."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.convert import make_plan
from pipeline.convert.journal import _check_same, describe_request
from pipeline.errors import OptionsChangedError
from support import small_scale
from support.datasets import make_options
from support.forked import KILLED, Accident, Forker, recorded
from support.unfinished import STAGING, TARGET, Files, Scene, command, files, names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.plan import ConvertPlan


@pytest.fixture(scope="module")
def scene(scene_of: Callable[[str], Scene]) -> Scene:
    """A conversion to Parquet."""
    return scene_of("parquet")


@pytest.fixture
def unfinished(scene: Scene, tmp_path: Path) -> Path:
    """A working folder with a conversion that was killed while it wrote shards."""
    place = scene.copied(tmp_path / "place")
    renames = [number for number, o in enumerate(scene.operations, 1) if o.kind == "rename"]
    assert scene.run(place, Accident(kind="kill", at=renames[-4])).status == KILLED
    return place


def remembered(folder: Path) -> Files:
    """Return the files of unfinished work but for the lock, and for those that were never whole."""
    return {
        name: data
        for name, data in files(folder).items()
        if not name.endswith(".partial") and name != f"{STAGING}/lock"
    }


@pytest.mark.parametrize(
    ("options", "differences"),
    [
        (("--seed", "7"), ["seed was 42, is 7"]),
        (("--no-standardize",), ["standardize was True, is False"]),
        (("--format", "tfrecord"), ["formats was ['parquet'], is ['tfrecord']"]),
        (
            ("--split", "0.5,0.3,0.2", "--seed", "1"),
            ["seed was 42, is 1", "split was [0.8, 0.1, 0.1], is [0.5, 0.3, 0.2]"],
        ),
        (("--drop", "f1"), ["drop was [], is ['f1']"]),
        (("--categorical", "f1"), ["categorical was None, is ['f1']"]),
    ],
)
def test_other_options_are_refused_with_the_differences(
    forker: Forker, scene: Scene, unfinished: Path, options: tuple[str, ...], differences: list[str]
) -> None:
    """An unfinished run started otherwise is named with every option that differs, and stays."""
    before = remembered(unfinished)
    outcome = forker.run(*command(*options), cwd=unfinished)
    assert outcome.status == 2
    assert outcome.stderr == (
        f"error[E203] {unfinished / STAGING}: an unfinished run is there: {'; '.join(differences)}\n"
        f"  hint: run the command as it was, or start afresh: rm -r {unfinished / STAGING}\n"
    )
    assert remembered(unfinished) == before
    scene.assert_continues(unfinished)


def test_an_option_that_is_no_longer_given_is_a_difference(tmp_path: Path) -> None:
    """Also one that is only remembered where it is given, as categories are."""
    asked = make_plan_of(tmp_path, categorical=("x",))
    without = make_plan_of(tmp_path)
    with pytest.raises(OptionsChangedError, match=r"categorical was \['x'\], is None"):
        _check_same(describe_request(asked), describe_request(without), tmp_path)


def make_plan_of(folder: Path, **options: Any) -> ConvertPlan:
    """Return the plan of a conversion that was asked for in this way."""
    (folder / "raw.csv").write_text("label,x,y\n0,1,2\n1,2,3\n")
    os.utime(folder / "raw.csv", (1, 1))
    return make_plan(folder / "raw.csv", make_options(**options))


def test_options_that_change_no_bytes_may_change(forker: Forker, scene: Scene, unfinished: Path) -> None:
    """More workers or memory, and how much is shown, are no other request."""
    arguments = [*command()[:3], *command()[5:], "--workers", "3", "--memory", "2GiB", "--max-rejects", "9"]
    outcome = forker.run(*arguments, cwd=unfinished)
    assert (outcome.status, outcome.stderr) == (0, "")
    assert files(unfinished / TARGET) == scene.whole


def test_another_source_is_refused(forker: Forker, scene: Scene, unfinished: Path) -> None:
    """The unfinished run of one source is not continued with another."""
    shutil.copy(unfinished / "raw.csv", unfinished / "other.csv")
    arguments = ["other.csv" if argument == "raw.csv" else argument for argument in command()]
    outcome = forker.run(*arguments, cwd=unfinished)
    assert outcome.status == 2
    assert "source was ['" in outcome.stderr
    (unfinished / "other.csv").unlink()
    scene.assert_continues(unfinished)


@pytest.mark.parametrize("change", ["longer", "shorter", "touched"])
def test_a_source_that_changed_since_is_refused(scene: Scene, unfinished: Path, change: str) -> None:
    """Between a kill and the continuation the source changed: E114 with both sizes, and the run stays."""
    source = unfinished / "raw.csv"
    text, times = source.read_bytes(), source.stat()
    size = len(text)
    if change == "longer":
        source.write_bytes(text + b"1,2,3.0,4.0,w\n")
        sizes = f"{size} bytes then, {size + 14} now"
    elif change == "shorter":
        source.write_bytes(text[: text.rindex(b"\n", 0, -1) + 1])
        sizes = f"{size} bytes then, {source.stat().st_size} now"
    else:
        os.utime(source)
        sizes = f"{size} bytes then and now, modified in between"
    outcome = scene.run(unfinished)
    assert outcome.status == 3
    assert outcome.stderr == (
        f"error[E114] {source}: changed since the unfinished run began: {sizes}\n"
        f"  hint: run the command as it was, or start afresh: rm -r {unfinished / STAGING}\n"
    )
    source.write_bytes(text)
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))
    scene.assert_continues(unfinished)


@pytest.mark.parametrize("when", ["reading", "spilling"])
def test_a_source_that_changes_during_the_run_is_refused(scene: Scene, tmp_path: Path, when: str) -> None:
    """Bytes appended while it is read: E114 with the sizes before and after, and nothing is left."""
    place = scene.copied(tmp_path / "place")
    size = (place / "raw.csv").stat().st_size
    at = [
        number
        for number, o in enumerate(scene.operations, 1)
        if (o.kind == "open" and o.path.endswith("raw.csv")) or o.path.endswith("run-00002.partial")
    ]
    number = at[3] if when == "reading" else at[-1]
    outcome = scene.run(place, Accident(kind="append", at=number))
    assert outcome.status == 3
    assert outcome.stderr.startswith(
        f"error[E114] raw.csv: changed while it was read: {size} bytes before, {size + 14} after\n"
    )
    assert names(place) == ["raw.csv"]


def shorter(text: str, num_bytes: int) -> str:
    """Return the lines that begin in the first `num_bytes` of a text."""
    return text[: text.index("\n", num_bytes - 1) + 1]


STREAMS: dict[str, Callable[[str], str]] = {
    "the same": lambda text: text,
    "longer": lambda text: text + "1,2,3.0,4.0,w\n",
    "other at its end": lambda text: re.sub(r".(,1199,)", r"7\1", text),
    "other at its beginning": lambda text: text.replace(",0,", ",9,", 1),
    "shorter": lambda text: shorter(text, len(text) // 3),
    # A record belongs to the byte range in which it begins: two whole ones are left.
    "shorter by whole byte ranges": lambda text: shorter(text, 2 * small_scale.RANGE_BYTES),
    "much shorter": lambda text: shorter(text, 200),
    "empty": lambda _text: "",
}


@pytest.mark.parametrize("kind", STREAMS)
def test_another_text_through_standard_input_is_noticed(
    forker: Forker, scene: Scene, tmp_path: Path, kind: str
) -> None:
    """A stream has no size and no date: what was read of it before is compared, also where it ends."""
    place = scene.copied(tmp_path / "place")
    text = (place / "raw.csv").read_text(encoding="utf-8")
    arguments = ["-" if argument == "raw.csv" else argument for argument in command()]
    accident = Accident(kind="kill", at=1, ending="run-00005.partial")
    assert forker.run(*arguments, cwd=place, accident=accident, stdin="raw.csv").status == KILLED
    changed = STREAMS[kind](text)
    assert (changed == text) == (kind == "the same")
    (place / "other.csv").write_text(changed, encoding="utf-8")
    record = tmp_path / "record"
    outcome = forker.run(*arguments, cwd=place, stdin="other.csv", record=record)
    if outcome.status:
        assert outcome.stderr.startswith("error["), outcome.stderr
        assert not (place / TARGET).exists()
    if kind == "the same":
        assert outcome.status == 0
        assert "run-00004.partial" not in " ".join(operation.path for operation in recorded(record))
    if outcome.status == 0:
        fresh = tmp_path / "fresh"
        fresh.mkdir()
        (fresh / "other.csv").write_text(changed, encoding="utf-8")
        assert forker.run(*arguments, cwd=fresh, stdin="other.csv").status == 0
        assert files(place / TARGET) == files(fresh / TARGET)
