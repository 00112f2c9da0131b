"""Ctrl-C and SIGTERM end a conversion with one line and status 130 or 143; the same command continues."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.command import ROOT
from support.forked import TIMEOUT_SECONDS, Accident
from support.texts import numbered_text
from support.unfinished import STAGING, TARGET, Scene, command, files, names

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.command import Outcome

SIGNALS = {
    "interrupt": (signal.SIGINT, 130, "interrupted\n"),
    "terminate": (signal.SIGTERM, 143, "terminated\n"),
}
# Each by an operation that is done at that moment: its kind, and the end of its path.
MOMENTS = {
    "planning": ("open", "raw.csv", 1),
    "reading": ("open", "raw.csv", 4),
    "spilling": ("fsync", "run-00002.partial", 1),
    "writing": ("write", "train-00001-of-00002.parquet.partial", 2),
    "finishing": ("rename", "manifest.json.partial", 1),
    "publishing": ("rename", "/dataset", 1),
    "cleaning up": ("unlink", "plan.json", 1),
}


@pytest.fixture(scope="module")
def scene(scene_of: Callable[[str], Scene]) -> Scene:
    """A conversion to Parquet."""
    return scene_of("parquet")


def number_of(scene: Scene, moment: str) -> int:
    """Return the number of the operation by which a moment is known."""
    kind, ending, count = MOMENTS[moment]
    numbers = [
        number
        for number, operation in enumerate(scene.operations, 1)
        if operation.kind == kind and operation.path.endswith(ending)
    ]
    return numbers[count - 1]


def assert_ended(outcome: Outcome, kind: str) -> None:
    """Fail unless the command ended as the signal asks, with one line."""
    _, status, line = SIGNALS[kind]
    # On a terminal the line with ^C is ended first.
    assert (outcome.status, outcome.stdout, outcome.stderr.lstrip("\n")) == (status, "", line)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("kind", SIGNALS)
def test_one_line_and_it_continues(scene: Scene, tmp_path: Path, kind: str, moment: str) -> None:
    """Whenever the signal comes, there is one line, the status of the signal, and nothing is half done."""
    place = scene.copied(tmp_path / "place")
    assert_ended(scene.run(place, Accident(kind=kind, at=number_of(scene, moment))), kind)
    scene.assert_absent_or_valid(place)
    assert (place / STAGING).exists() == (moment != "planning")
    scene.assert_continues(place)


@pytest.mark.parametrize("moment", ["reading", "writing", "publishing"])
def test_impatience_does_no_harm(scene: Scene, tmp_path: Path, moment: str) -> None:
    """Pressing Ctrl-C again and again ends it too, without a traceback, and it continues."""
    place = scene.copied(tmp_path / "place")
    accident = Accident(kind="interrupt", at=number_of(scene, moment), times=4)
    assert_ended(scene.run(place, accident), "interrupt")
    scene.assert_absent_or_valid(place)
    scene.assert_continues(place)


def in_session(session: int) -> list[str]:
    """Return the processes of a session that still run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # pid (name) state ppid group session ...: the name may hold anything
            fields = entry.read_text(encoding="utf-8").rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(entry.parent.name)
    return found


@pytest.mark.parametrize("kind", SIGNALS)
def test_the_real_command_leaves_no_process(tmp_path: Path, kind: str) -> None:
    """As on a terminal, the signal goes to all processes of the command; soon none is left."""
    place = tmp_path / "place"
    place.mkdir()
    (place / "raw.csv").write_text(numbered_text(40_000), encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-m", "support.small_scale", *command()[:3], "--workers", "4", "--quiet"],
        cwd=place,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as process:
        until = time.monotonic() + TIMEOUT_SECONDS
        while not (place / STAGING / "runs" / "run-00002").exists():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.002)
        assert in_session(process.pid) == [str(process.pid)]
        os.killpg(process.pid, SIGNALS[kind][0])
        _, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
    assert (process.returncode, stderr.lstrip("\n")) == SIGNALS[kind][1:]
    assert in_session(process.pid) == []
    assert not (place / TARGET).exists()
    assert (place / STAGING / "runs" / "run-00002").exists()


@pytest.mark.parametrize(
    ("streams", "status", "said"),
    [
        pytest.param("| true", 1, "", id="who listened has gone"),
        pytest.param(">&-", 0, "", id="closed output"),
        pytest.param("2>&-", 0, "", id="closed errors"),
        pytest.param("<&- >&- 2>&-", 0, "", id="all closed"),
        pytest.param(
            "> /dev/full",
            5,
            "error[E502] standard output: No space left on device\n  hint: the work itself is done\n",
            id="full disk",
        ),
    ],
)
def test_output_that_nobody_gets(scene: Scene, tmp_path: Path, streams: str, status: int, said: str) -> None:
    """Whatever becomes of the streams, there is no traceback, and the dataset is made as it should be."""
    place = scene.copied(tmp_path / "place")
    arguments = [word for word in command() if word != "--quiet"] + ["--json"]
    program = shlex.join([sys.executable, "-m", "support.small_scale", *arguments])
    script = f"set -o pipefail; ({program}) {streams}"
    done = subprocess.run(
        ["bash", "-c", script],
        check=False,
        cwd=place,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    assert (done.returncode, done.stderr) == (status, said)
    assert names(place) == ["raw.csv", TARGET]
    assert files(place / TARGET) == scene.whole
