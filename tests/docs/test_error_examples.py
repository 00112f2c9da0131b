"""The examples in docs/errors.md are what the program says, word by word; numbers may be others."""

from __future__ import annotations

import gzip
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import errors
from pipeline.storage.lock import owned
from support.documents import document
from support.refusals import GOOD

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.command import Command, Outcome

EXAMPLES = {
    found[1]: found[0].rstrip() + "\n"
    for found in re.finditer(
        r"^error\[(E\d{3})\] .*\n(?:  hint: .*\n)?", document("docs/errors.md"), re.MULTILINE
    )
}
CONVERT = ("convert", "raw.csv", "shards", "--quiet")
# What the source holds, and what follows the command, for faults that the source alone makes.
SOURCES: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "E102": (GOOD + "0,1\n", ()),
    "E103": (GOOD + "0,word,1\n", ()),
    "E104": (GOOD + "0,NA,1\n", ()),
    "E105": (GOOD + "0,1e400,1\n", ()),
    "E106": ("label,mass,pt\n", ()),
    "E107": (GOOD.split("\n", 1)[1], ()),
    "E108": (GOOD, ("--label", "lable")),
    "E109": ("label,mass,run\n0,1.5,a7\n1,2.5,b8\n", ()),
    "E110": ("label,mass\ns,1.5\nb,2.5\n", ("--label-kind", "number")),
    "E111": (GOOD + '0,"1.5,1\n', ()),
    "E112": (b"PAR1\x15\x04" + bytes(40), ()),
    "E113": (gzip.compress(GOOD.encode())[:-9], ()),
    "E115": (GOOD.replace(",", ";"), ()),
    "E116": ("label,mass\n0," + "1" * (2 << 20), ()),
    "E117": (GOOD + "0,x,1\n" * 3, ("--on-bad-row", "skip", "--max-rejects", "2")),
    "E118": (
        "label,mass,run\n" + "".join(f"{at % 2},1.5,r{at}\n" for at in range(130_000)),
        ("--categorical", "run"),
    ),
    "E119": ("label,mass,fold\n0,1.5,train\n1,2.5,train\n0,2.5,trian\n", ("--split-by", "fold")),
    "E201": (GOOD, ("--split", "0.5,0.6")),
    "E503": (GOOD, ("--memory", "1MiB")),
}


class Scene:
    """A folder with a source, in which a command is run; `run` does."""

    def __init__(self, command: Command, patch: pytest.MonkeyPatch) -> None:
        self.command = command
        self.patch = patch
        Path("raw.csv").write_text(GOOD)

    def run(self, *arguments: str) -> Outcome:
        """Run a command, a conversion of raw.csv unless told otherwise."""
        return self.command(*(arguments or CONVERT))


def changing_source(scene: Scene) -> Outcome:
    """Convert a file to which something is written meanwhile."""

    class Writing:
        def start(self, *_: Any, **__: Any) -> None:
            """Write to the source."""
            with Path("raw.csv").open("a") as file:
                file.write("1,1.5,1\n")

        def advance(self, *_: Any, **__: Any) -> None:
            """Nothing."""

        def finish(self, *_: Any, **__: Any) -> None:
            """Nothing."""

    scene.patch.setattr("pipeline.cli.display.choose", lambda **_: Writing())
    return scene.run()


def other_options(scene: Scene) -> Outcome:
    """Continue a conversion with another seed."""

    def interrupted(*_: Any) -> str:
        raise KeyboardInterrupt

    with scene.patch.context() as patch:
        patch.setattr("pipeline.convert.to_json", interrupted)
        assert scene.run().status == 130
    return scene.run(*CONVERT, "--seed", "7")


def damaged_shard(scene: Scene) -> Outcome:
    """Verify a dataset with a shard that was cut."""
    assert scene.run().status == 0
    shard = next(Path("shards").glob("train-*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    return scene.run("verify", "shards", "--quiet")


def owned_target(scene: Scene) -> Outcome:
    """Convert to a target that somebody else works on."""
    with owned(Path("shards.incomplete")):
        return scene.run()


def full_disk(scene: Scene) -> Outcome:
    """Convert where there is no room."""
    Path("raw.csv").write_text(GOOD + "1,1.5,1\n" * 2_000_000)
    usage = shutil.disk_usage(".")
    scene.patch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1000))
    return scene.run()


def no_permission(scene: Scene) -> Outcome:
    """Convert a file that may not be read."""

    def refuse(*_: Any) -> bytes:
        raise PermissionError

    scene.patch.setattr("pipeline.source.files._head", refuse)  # root may read everything
    return scene.run()


def without_tensorflow(scene: Scene) -> Outcome:
    """Train where TensorFlow is not installed."""
    assert scene.run().status == 0
    scene.patch.setitem(sys.modules, "tensorflow", None)
    return scene.run("train", "shards")


def twice(scene: Scene) -> Outcome:
    """Convert to where a dataset is."""
    assert scene.run().status == 0
    return scene.run()


def diverging(scene: Scene) -> Outcome:
    """Train with a learning rate that makes the loss infinite."""
    assert scene.run().status == 0
    return scene.run("train", "shards", "--learning-rate", "1e30", "--quiet", "--layers", "8")


SCENES: dict[str, Callable[[Scene], Outcome]] = {
    "E101": lambda scene: scene.run("convert", "rew.csv", "shards"),
    "E114": changing_source,
    "E202": twice,
    "E203": other_options,
    "E401": lambda scene: scene.run("verify", "shards"),
    "E402": damaged_shard,
    "E403": lambda scene: scene.run("predict", "model", "raw.csv", "out.csv"),
    "E501": without_tensorflow,
    "E502": full_disk,
    "E504": no_permission,
    "E601": owned_target,
}
SLOW_SCENES = {"E404": diverging}
# Provoked elsewhere: they need servers, clusters or time.
ELSEWHERE = {
    "E505": "tests/unit/test_download.py",
    "E506": "tests/unit/test_download.py",
    "E507": "tests/conformance/test_engines_and_stores.py",
    "E508": "tests/conformance/test_engines_and_stores.py",
}


def comparable(text: str) -> str:
    """Return `text` without the working folder, and longer numbers alike: sizes and times are of one run."""
    return re.sub(r"\d[\d.,:-]*\d", "#", text.replace(f"{Path.cwd()}/", ""))


@pytest.fixture
def scene(tmp_path: Path, pipeline_command: Command, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A folder of its own with a source."""
    monkeypatch.chdir(tmp_path)
    return Scene(pipeline_command, monkeypatch)


def test_every_error_has_an_example() -> None:
    """Each code but those of groups is shown once, and each example is checked here or somewhere."""
    leaves = {
        kind.code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.PipelineError) and not kind.code.endswith("00")
    }
    assert set(EXAMPLES) == leaves
    assert set(SOURCES) | set(SCENES) | set(SLOW_SCENES) | set(ELSEWHERE) == leaves


@pytest.mark.parametrize("code", [code for code in EXAMPLES if code in SOURCES])
def test_what_is_said_of_a_source(scene: Scene, code: str) -> None:
    """A source with this fault is refused in these words."""
    data, options = SOURCES[code]
    Path("raw.csv").write_bytes(data.encode() if isinstance(data, str) else data)
    outcome = scene.run(*CONVERT, *options)
    assert comparable(outcome.stderr) == comparable(EXAMPLES[code])


@pytest.mark.parametrize("code", [code for code in EXAMPLES if code in SCENES])
def test_what_is_said_in_a_scene(scene: Scene, code: str) -> None:
    """What happens otherwise is told in these words."""
    outcome = SCENES[code](scene)
    assert comparable(outcome.stderr) == comparable(EXAMPLES[code])


@pytest.mark.slow
@pytest.mark.parametrize("code", SLOW_SCENES)
def test_what_is_said_in_a_long_scene(scene: Scene, code: str) -> None:
    """So it is where TensorFlow has to be loaded."""
    outcome = SLOW_SCENES[code](scene)
    assert comparable(outcome.stderr) == comparable(EXAMPLES[code])
