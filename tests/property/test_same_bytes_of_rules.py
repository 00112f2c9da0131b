"""Law: same content, same options → same bytes; here under every split rule."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline import plan
from pipeline.convert import convert, planning
from pipeline.convert.memory import divide
from pipeline.runs import store
from pipeline.runs.spilled import SpilledRun, spill
from pipeline.splitting import search
from pipeline.splitting.rule import SplitRule
from support.command import ROOT, TIMEOUT_SECONDS
from support.datasets import MANIFEST, Dataset, convert_text, make_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from pipeline.plan import ConvertOptions, MemoryPlan
    from pipeline.runs.run import Run

NUM_RECORDS = 3000
RULES = {
    "stratify": SplitRule(name="stratify"),
    "group": SplitRule(name="group", column="who"),
    "given": SplitRule(name="given", column="fold"),
    "time": SplitRule(name="time", column="when"),
}
RANGE_BYTES = 6000
RUNS_BYTES = 16 << 10


@pytest.fixture(scope="module")
def text() -> str:
    """Classes, groups, moments and given splits; a kept text with delimiters in it; missing features."""
    rng = np.random.default_rng(8)
    rows = [
        f"{'abc'[min(at % 7, 2)]},{at},{rng.normal() if at % 50 else ''},user {rng.integers(0, 90)},"
        f'{1.7e9 + at // 4},{rng.choice(["train", "val", "test"])},"w, {at % 9}"\n'
        for at in range(NUM_RECORDS)
    ]
    return "label,id,x,who,when,fold,word\n" + "".join(rows)


def options_of(name: str, **given: Any) -> ConvertOptions:
    """Return the options of a rule; what it does not need is kept."""
    used = {RULES[name].column}
    kept = tuple(column for column in ("id", "who", "fold", "word") if column not in used)
    return make_options(
        rule=RULES[name],
        keep=kept,
        on_missing="mean",
        shard_bytes=20_000,
        range_bytes=RANGE_BYTES,
        **given,
    )


@pytest.fixture
def small_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many cells, and searches that begin with histograms."""
    monkeypatch.setattr(plan, "ROW_GROUP_BYTES", 1)
    monkeypatch.setattr(search, "MAX_COLLECTED", 100)


@pytest.fixture
def spilled(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Little memory for runs, and the files that come of it."""
    found: list[Path] = []

    def little(*given: Any, **named: Any) -> MemoryPlan:
        return dataclasses.replace(divide(*given, **named), runs_bytes=RUNS_BYTES)

    def counted(runs: Sequence[Run], path: Path, edges: np.ndarray) -> SpilledRun:
        found.append(path)
        return spill(runs, path, edges)

    monkeypatch.setattr(planning.memory, "divide", little)
    monkeypatch.setattr(store, "spill", counted)
    return found


def shards_of(dataset: Dataset) -> dict[str, bytes]:
    """Return what does not name the source: all but the manifest."""
    return {name: data for name, data in dataset.file_bytes().items() if name != MANIFEST}


@pytest.mark.usefixtures("small_scale")
@pytest.mark.parametrize("name", RULES)
def test_workers_and_compression_change_nothing(
    fresh_folder: Callable[[], Path], text: str, name: str
) -> None:
    """One, two or four workers: every file the same; gzip: every shard."""
    first, second, fourth = (
        convert_text(text, fresh_folder(), options_of(name, num_workers=count)) for count in (1, 2, 4)
    )
    assert len(first.paths("train")) > 1
    assert first.file_bytes() == second.file_bytes() == fourth.file_bytes()
    packed = convert_text(text, fresh_folder(), options_of(name, num_workers=2), packed=True)
    assert shards_of(packed) == shards_of(first)


@pytest.mark.usefixtures("small_scale")
@pytest.mark.parametrize("name", RULES)
def test_memory_changes_nothing(
    fresh_folder: Callable[[], Path], text: str, name: str, request: pytest.FixtureRequest
) -> None:
    """Runs on disk, many of them, give the bytes of runs in memory."""
    plentiful = convert_text(text, fresh_folder(), options_of(name, num_workers=2))
    spilled: list[Path] = request.getfixturevalue("spilled")
    scarce = convert_text(text, fresh_folder(), options_of(name, num_workers=2))
    assert len(spilled) > 5
    assert scarce.file_bytes() == plentiful.file_bytes()


class Pickling:
    """Stands for an engine of two processes: all that passes is pickled, and the last task is done first."""

    num_workers = 2

    def __init__(self) -> None:
        self.largest_bytes = 0

    def map_tasks(
        self, function: Callable[[Any, Any], Any], shared: Any, tasks: Iterable[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Yield the results, by the indices of their tasks."""
        for index, task in reversed(list(enumerate(tasks))):
            done, shared_there, task_there = pickle.loads(pickle.dumps((function, shared, task)))  # noqa: S301
            result = pickle.dumps(done(shared_there, task_there))
            self.largest_bytes = max(self.largest_bytes, len(result))
            yield index, pickle.loads(result)  # noqa: S301  # our own

    def of_workers(self, function: Callable[[], Any]) -> list[Any]:
        """Return what a function gives in every worker."""
        return [pickle.loads(pickle.dumps(function))() for _ in range(self.num_workers)]  # noqa: S301


@pytest.mark.usefixtures("small_scale", "spilled")
@pytest.mark.parametrize("name", RULES)
def test_processes_change_nothing(
    tmp_path: Path, text: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that share nothing but files, in any order: the bytes of threads; only little passes."""
    here = convert_text(text, tmp_path / "here", options_of(name))
    engine = Pickling()
    monkeypatch.setattr("pipeline.convert.cluster.connected", lambda *_: contextlib.nullcontext(engine))
    options = dataclasses.replace(options_of(name), engine="dask", num_workers=2)
    convert(tmp_path / "here" / "source.csv", tmp_path / "there", options)
    assert Dataset(folder=tmp_path / "there").file_bytes() == here.file_bytes()
    assert 0 < engine.largest_bytes < 1 << 20


def test_a_cluster_changes_nothing(tmp_path: Path, text: str) -> None:
    """The processes of Dask, as a user starts them, make the dataset that threads make."""
    (tmp_path / "raw.csv").write_text(text)
    arguments = ("convert", "raw.csv", "--stratify", "--keep", "who", "--keep", "fold", "--keep", "word")
    arguments += ("--on-missing", "mean", "--shard-size", "20kB", "--quiet", "--workers", "2")
    for target, engine in (("here", "local"), ("there", "dask")):
        done = subprocess.run(
            [sys.executable, "-m", "support.small_scale", *arguments, target, "--engine", engine],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
            check=False,
            capture_output=True,
            timeout=4 * TIMEOUT_SECONDS,
        )
        assert done.returncode == 0, done.stderr
    here, there = (Dataset(folder=tmp_path / target).file_bytes() for target in ("here", "there"))
    assert here == there


def test_every_rule_has_a_fingerprint_of_its_own(fresh_folder: Callable[[], Path], text: str) -> None:
    """Rule and column are part of what a dataset is; without a rule nothing is said of one."""
    options = [options_of(name) for name in RULES]
    options.append(
        make_options(
            rule=SplitRule(name="group", column="fold"), keep=("id", "who", "word"), on_missing="mean"
        )
    )
    options.append(make_options(keep=("id", "who", "fold", "word"), on_missing="mean"))
    found = [convert_text(text, fresh_folder(), each).manifest for each in options]
    assert len({manifest["fingerprint"] for manifest in found}) == len(options)
    told = [{key: each["options"].get(key) for key in ("split_rule", "split_column")} for each in found]
    assert told[1] == {"split_rule": "group", "split_column": "who"}
    assert told[0] == {"split_rule": "stratify", "split_column": None}
    assert not {"split_rule", "split_column"} & found[-1]["options"].keys()
    assert "split" not in found[2]["options"], "shares mean nothing where a column says it"
