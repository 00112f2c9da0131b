"""The page about a dataset shows what is there, and marks what chance does not explain."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from pipeline import manifest as manifests
from pipeline.errors import ModelError, TargetExistsError
from pipeline.evaluate import EvaluateOptions, evaluate
from pipeline.progress import SILENT
from pipeline.report import origin, report_dataset, report_model, shuffle, svg
from pipeline.report.sketch import NUM_BINS, Sketch, sketch_split
from pipeline.splitting.rule import SplitRule
from support.datasets import convert_text, make_options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.trained import Made

NUM_RECORDS = 6000
BROWSER = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
BROWSER += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset from a source that is sorted by its label and rises in one column."""
    rng = np.random.default_rng(3)
    rows = [
        f"{int(at > NUM_RECORDS // 2)},{at},{rng.normal()!r},{rng.choice([1, 2, 5])},7\n"
        for at in range(NUM_RECORDS)
    ]
    text = "label,rising,normal,<few>,constant\n" + "".join(rows)
    options = make_options(shard_bytes=20_000)
    return convert_text(text, tmp_path_factory.mktemp("report") / "work", options).folder


class Outline(HTMLParser):
    """Which tags a page has, what it links to, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag, and what it refers to."""
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "action"}]

    def handle_data(self, data: str) -> None:
        """Note the text."""
        self.text += data + "\n"


def made(shards: Path, folder: Path) -> Outline:
    """Return the outline of the page about a dataset."""
    page = folder / "page.html"
    report_dataset(shards, page)
    return Outline(page.read_text(encoding="utf-8"))


def test_a_fair_dataset_has_no_mark(dataset: Path, tmp_path: Path) -> None:
    """However the source was sorted, nothing of it is left in the shards: only fine verdicts."""
    outline = made(dataset, tmp_path)
    assert outline.text.count("\u2713") >= 14
    assert "\u2717" not in outline.text


def test_what_no_chance_divided_is_not_judged_by_chance(tmp_path: Path) -> None:
    """Splits by time lie apart in every column that moves with it: the page says so, and finds no fault."""
    rows = [f"{int(at * 7 % 10 < at / 600)},{at / 10!r},{at}\n" for at in range(NUM_RECORDS)]
    text = "label,drift,when\n" + "".join(rows)
    options = make_options(rule=SplitRule(name="time", column="when"), shard_bytes=20_000)
    outline = made(convert_text(text, tmp_path / "work", options).folder, tmp_path)
    assert "\u2717" not in outline.text
    assert "by 'when': the earliest records are train, the latest test" in outline.text
    assert "So the splits need not be alike" in outline.text
    plain = make_options(drop=("when",), shard_bytes=20_000)
    (tmp_path / "other").mkdir()
    outline = made(convert_text(text, tmp_path / "other" / "work", plain).folder, tmp_path / "other")
    assert "So the splits need not be alike" not in outline.text


def test_a_page_stands_alone(dataset: Path, tmp_path: Path) -> None:
    """The page refers to nothing, runs nothing, and names what could be taken for markup rightly."""
    outline = made(dataset, tmp_path)
    assert "script" not in outline.tags
    assert outline.links == ["data:,"]
    assert "<few>" in outline.text
    assert outline.tags.count("svg") >= 4 + 3


def test_the_same_page_again(dataset: Path, tmp_path: Path) -> None:
    """The same dataset gives the same bytes; a page that is there stays, unless it may be replaced."""
    report_dataset(dataset, tmp_path / "one.html")
    report_dataset(dataset, tmp_path / "two.html")
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()
    with pytest.raises(TargetExistsError):
        report_dataset(dataset, tmp_path / "one.html")
    report_dataset(dataset, tmp_path / "one.html", overwrite=True)


def test_a_sketch_counts_every_record(dataset: Path) -> None:
    """Histograms and shares count each record once; correlations and neighbours are NumPy's."""
    manifest = manifests.load(dataset)
    sketch = sketch_split(dataset, manifest, "train", SILENT)
    frame = pl.concat([pl.read_parquet(p) for p in sorted(dataset.glob("train-*.parquet"))])
    features = frame.select(c.name for c in manifest.features).to_numpy().astype(np.float64)
    labels = frame["label"].to_numpy()
    assert sketch.num_records == len(labels)
    assert (sketch.histograms.sum(axis=2) == np.bincount(labels)[:, np.newaxis]).all()
    assert sketch.shard_counts.sum(axis=0).tolist() == np.bincount(labels).tolist()
    sizes = [s.records for s in manifest.splits["train"].of_format("parquet")]
    assert sketch.shard_counts.sum(axis=1).tolist() == sizes
    assert sketch.num_runs == 1 + np.count_nonzero(np.diff(labels))
    np.testing.assert_allclose(sketch.products, features.T @ features / len(labels), atol=1e-9)
    np.testing.assert_allclose(sketch.lagged, (features[1:] * features[:-1]).mean(axis=0), atol=1e-9)


def sketch_of(labels: np.ndarray, values: np.ndarray) -> Sketch:
    """Return the sketch of one column of records in the given order, in two shards."""
    half = len(labels) // 2
    counts = [np.bincount(part, minlength=2) for part in (labels[:half], labels[half:])]
    bins = np.bincount(np.clip((values * 8 + 20).astype(int), 0, NUM_BINS - 1), minlength=NUM_BINS)
    return Sketch(
        num_records=len(labels),
        edges=np.linspace(-2.5, 2.5, NUM_BINS + 1)[np.newaxis],
        histograms=bins[np.newaxis, np.newaxis],
        products=np.ones((1, 1)),
        lagged=np.array([(values[1:] * values[:-1]).mean()]),
        shard_counts=np.array(counts),
        places=(),
        num_runs=1 + int(np.count_nonzero(np.diff(labels))),
    )


def test_what_chance_does_not_explain_is_found() -> None:
    """Sorted or alternating labels, and splits that differ, are outside the bands; random ones inside."""
    rng = np.random.default_rng(5)
    labels, values = rng.integers(0, 2, 4000), rng.normal(size=4000)
    fair, ordered = sketch_of(labels, values), sketch_of(np.sort(labels), np.sort(values))
    finding, found = shuffle.runs(fair, num_tests=1), shuffle.runs(ordered, num_tests=1)
    assert finding is not None
    assert found is not None
    assert finding.is_fine
    assert not found.is_fine
    alternating = shuffle.runs(sketch_of(np.arange(4000) % 2, values), num_tests=1)
    assert alternating is not None
    assert not alternating.is_fine
    assert abs(fair.lagged[0]) < shuffle.lagged(fair, num_tests=1)[0] < abs(ordered.lagged[0])
    shares = shuffle.shard_shares(ordered, 0.5, 1, num_tests=2)
    assert not any(share.is_fine for share in shares)
    distance, allowed = shuffle.drift(fair, sketch_of(labels, values + 0.3), num_tests=1)
    assert distance[0] > allowed
    distance, allowed = shuffle.drift(fair, sketch_of(labels, rng.normal(size=4000)), num_tests=1)
    assert distance[0] < allowed


def test_what_is_left_of_the_source_is_found() -> None:
    """The order of the source, a shuffle buffer, blocks, a test split from the end: all are marked."""
    rng = np.random.default_rng(9)
    places = np.arange(2000)
    buffered = np.argsort(places + rng.integers(0, 100, 2000))
    blocks = rng.permutation(places.reshape(40, 50)).ravel()
    for ranks in (places, places[::-1], buffered):
        assert is_marked(shuffle.correlation(ranks, num_tests=8))
    for ranks in (places, buffered, blocks):
        assert is_marked(shuffle.serial_correlation(ranks, num_tests=8))
    ranks = rng.permutation(places)
    assert not is_marked(shuffle.correlation(ranks, num_tests=8))
    assert not is_marked(shuffle.serial_correlation(ranks, num_tests=8))
    assert is_marked(shuffle.distance(places[1800:], places[:1800], num_tests=8))
    assert not is_marked(shuffle.distance(ranks[1800:], ranks[:1800], num_tests=8))
    assert shuffle.correlation(places[:10], num_tests=8) is None


def is_marked(finding: shuffle.Finding | None) -> bool:
    """Whether a figure is outside its band."""
    assert finding is not None
    return not finding.is_fine


@pytest.mark.parametrize(
    "judge",
    [
        pytest.param(
            lambda ranks: shuffle.runs(sketch_of((ranks < 150).astype(int), np.zeros(500)), num_tests=1),
            id="runs of labels",
        ),
        pytest.param(lambda ranks: shuffle.correlation(ranks, num_tests=1), id="correlation"),
        pytest.param(lambda ranks: shuffle.serial_correlation(ranks, num_tests=1), id="neighbours"),
        pytest.param(lambda ranks: shuffle.distance(ranks[:100], ranks[100:], num_tests=1), id="distance"),
    ],
)
def test_bands_are_as_wide_as_they_say(judge: Callable[[np.ndarray], shuffle.Finding | None]) -> None:
    """Of 2,000 random orders about one in a hundred is marked: the formulas are right."""
    rng = np.random.default_rng(11)
    marked = sum(is_marked(judge(rng.permutation(500))) for _ in range(2000))
    assert 5 <= marked <= 40


def origin_of(manifest: manifests.Manifest, **changes: Any) -> str:
    """Return what the page says of the way from the source to the shards, of a manifest with `changes`."""
    return origin.section(dataclasses.replace(manifest, **changes)).body


def test_the_way_from_the_source_is_told(dataset: Path) -> None:
    """A fair shuffle, one that left the order, one that split by contents, none known: each is said."""
    manifest = manifests.load(dataset)
    assert "says nothing of where it stands within its split, nor of" in origin_of(manifest)
    positions = tuple(range(0, NUM_RECORDS, 3))
    ordered = manifests.Shuffle(positions=positions, ranks=positions)
    told = origin_of(manifest, shuffle=ordered)
    assert "order of the source is left" in told
    assert told.count("✗") == 8
    by_time = manifests.Shuffle(
        positions=positions,
        ranks=tuple(
            int(rank)
            for begin, end in ((0, 1600), (1600, 1800), (1800, 2000))
            for rank in np.random.default_rng(1).permutation(positions[begin:end])
        ),
    )
    assert origin_of(manifest, shuffle=by_time).count("✗") == 2
    divided = {"split_rule": "time", "split_column": "day"}
    told = origin_of(manifest, shuffle=by_time, options=manifest.options | divided)
    assert "✗" not in told
    assert "by &#x27;day&#x27;: the earliest records are train" in told
    assert "does not say" in origin_of(manifest, shuffle=None)
    few = manifests.Shuffle(positions=positions[:5], ranks=positions[:5])
    assert "too few to judge" in origin_of(manifest, shuffle=few)


def test_ticks_are_round_and_inside() -> None:
    """Ticks are between the ends, few, and evenly spaced, for ranges of any size."""
    rng = np.random.default_rng(2)
    for _ in range(500):
        low = float(rng.normal() * 10.0 ** rng.integers(-6, 7))
        high = low + float(rng.random() + 0.01) * 10.0 ** int(rng.integers(-3, 7))
        found = svg.ticks(low, high)
        slack = 1e-6 * (high - low)
        assert 2 <= len(found) <= 9
        assert all(low - slack <= tick <= high + slack for tick in found)
        steps = np.diff(found)
        assert math.isclose(steps.max(), steps.min(), rel_tol=1e-3, abs_tol=1e-11)


@pytest.fixture(scope="module")
def model_pages(many: Made, number: Made, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages about a model of four classes, and of a number, with what came of judging them."""
    folder = tmp_path_factory.mktemp("pages")
    pages = {}
    for name, made in {"classes": many, "number": number}.items():
        evaluate(made.model, made.shards, folder / name, EvaluateOptions(slices=("level",)))
        pages[name] = folder / f"{name}.html"
        report_model(made.model, pages[name], evaluation=folder / name)
    return pages


def test_a_page_about_a_model_tells_how_it_did(model_pages: dict[str, Path]) -> None:
    """Figures, curves of every class, confusion, slices and importance; of a number, predicted and actual."""
    classes, of_number = (
        Outline(model_pages[name].read_text(encoding="utf-8")) for name in ("classes", "number")
    )
    for shown in ("Figures on the test split", "drop in", "by level", "Epochs", "How it was made"):
        assert shown in classes.text
        assert shown in of_number.text
    for shown in ("ROC", "precision and recall", "calibration", "Confusion", "quark", "$\\tau$", "mean"):
        assert shown in classes.text
        assert shown == "mean" or shown not in of_number.text
    assert "what was predicted, and what was so" in of_number.text
    assert "what was predicted, and what was so" not in classes.text
    assert "script" not in classes.tags + of_number.tags
    assert classes.links == of_number.links == ["data:,"]


def test_a_model_that_was_not_judged_has_a_page(two: Made, tmp_path: Path) -> None:
    """Without an evaluation there are the figures and epochs of the training; a wrong file is named."""
    report_model(two.model, tmp_path / "page.html")
    text = Outline((tmp_path / "page.html").read_text(encoding="utf-8")).text
    assert "Figures on the test split" in text
    assert "true positives" in text
    with pytest.raises(ModelError, match="no such file"):
        report_model(two.model, tmp_path / "other.html", evaluation=tmp_path)
    (tmp_path / "metrics.json").write_text("{}")
    (tmp_path / "roc.json").write_text("{}")
    with pytest.raises(ModelError, match="no table"):
        report_model(two.model, tmp_path / "other.html", evaluation=tmp_path)
    assert not (tmp_path / "other.html").exists()


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on this machine")
@pytest.mark.parametrize(
    ("about", "width"), [("dataset", 1280), ("dataset", 400), ("classes", 400), ("number", 1280)]
)
def test_a_browser_shows_it(
    dataset: Path, model_pages: dict[str, Path], tmp_path: Path, about: str, width: int
) -> None:
    """Chromium renders the page without an error, and nothing is wider than the window."""
    page = tmp_path / "page.html"
    if about == "dataset":
        report_dataset(dataset, page)
    else:
        shutil.copy(model_pages[about], page)
    probe = "<script>document.title=JSON.stringify([document.documentElement.scrollWidth,innerWidth,"
    probe += "document.querySelectorAll('svg').length])</script>"
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", probe + "</body>"), encoding="utf-8")
    command = ["chromium", *BROWSER, f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900"]
    done = subprocess.run(
        [*command, "--enable-logging=stderr", "--dump-dom", page.as_uri()],
        capture_output=True,
        check=True,
        encoding="utf-8",
        timeout=60,
    )
    assert "CONSOLE" not in done.stderr
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title is not None
    wide, window, drawings = json.loads(title[1])
    assert wide <= window
    assert drawings >= 8
