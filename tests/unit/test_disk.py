"""The room a conversion takes: planned from the first records, refused only where it cannot be had."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.convert import convert, make_plan
from pipeline.convert.disk import check_room, free_bytes
from pipeline.errors import DiskError
from pipeline.plan import ConvertOptions, DiskPlan, Identity
from pipeline.schema import RoleOptions
from support.texts import numbered_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from support.command import Command

NUM_RECORDS = 3000
Usage = namedtuple("Usage", ["total", "used", "free"])  # noqa: PYI024  # as shutil has it


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source of 3,000 records with three features and a text."""
    path = tmp_path_factory.mktemp("source") / "raw.csv"
    header, *rows = numbered_text(NUM_RECORDS).splitlines()
    path.write_text("\n".join([f"{header},word", *(f"{row},{'w' * 50}" for row in rows)]) + "\n")
    return path


@pytest.fixture
def set_free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Set what is free on every file system."""

    def fix(num_bytes: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(10**12, 0, num_bytes))

    return fix


def options(**given: Any) -> ConvertOptions:
    """Return options of a conversion that drops the text."""
    identity = {key: given.pop(key) for key in list(given) if key in Identity.__dataclass_fields__}
    return ConvertOptions(
        identity=Identity(**identity), **{"roles": RoleOptions(drop=("word",)), "num_workers": 1} | given
    )


class Told:
    """A progress that keeps the stages without a count."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.results: list[str] = []

    def start(self, stage: str, *, total: int | None, unit: str) -> None:  # noqa: ARG002  # the protocol's
        """Keep the stage."""
        if not unit:
            self.stages.append(stage)

    def advance(self, amount: int, *, records: int = 0) -> None:
        """Ignore."""

    def finish(self, result: str = "") -> None:
        """Keep the result."""
        self.results.append(result)


@pytest.mark.parametrize("formats", [("parquet",), ("tfrecord",), ("parquet", "tfrecord")])
@pytest.mark.parametrize("keeps_text", [False, True])
def test_the_estimate_is_near_the_truth(
    source: Path, tmp_path: Path, formats: tuple[Any, ...], *, keeps_text: bool
) -> None:
    """What is expected of the dataset is right by 30 %, and the least is less than what it took."""
    roles = RoleOptions(keep=("word",)) if keeps_text else RoleOptions(drop=("word",))
    asked = options(formats=formats, roles=roles)
    plan = make_plan(source, asked)
    convert(source, tmp_path / "shards", asked)
    taken = sum(p.stat().st_size for p in (tmp_path / "shards").iterdir() if p.suffix != ".json")
    assert 0.7 * taken < plan.disk.dataset_bytes < 1.3 * taken
    assert plan.disk.least_bytes < taken
    assert plan.disk.spilled_bytes == 0


def test_what_memory_does_not_hold_is_counted(source: Path) -> None:
    """Runs beyond the memory for them lie on disk beside the dataset until it is done; on a cluster, all."""
    before = make_plan(source, options()).disk
    whole = make_plan(source, options(engine="dask")).disk
    assert whole.spilled_bytes == pytest.approx(NUM_RECORDS * (8 + 8 * 3 + 8), rel=0.1)
    assert whole.num_bytes == whole.dataset_bytes + whole.spilled_bytes
    assert whole.dataset_bytes == before.dataset_bytes
    assert before.least_bytes < whole.least_bytes < whole.num_bytes


@pytest.mark.parametrize(
    "given",
    [{"compression": "zstd"}, {"on_bad_row": "skip"}, {"on_missing": "drop"}, {"on_nonfinite": "drop"}],
)
def test_what_may_shrink_is_hardly_refused(source: Path, given: dict[str, Any]) -> None:
    """Compression may do wonders, and rows may be set aside: the least is a twentieth, or less."""
    plain, other = (make_plan(source, options(**asked)).disk for asked in ({}, given))
    assert other.dataset_bytes == plain.dataset_bytes
    assert other.least_bytes <= plain.least_bytes / 9


def test_too_little_room_is_refused_before_anything_is_made(
    source: Path, tmp_path: Path, set_free: Callable[[int], None]
) -> None:
    """E502 says what it needs and what there is; nothing is there afterwards."""
    set_free(1000)
    with pytest.raises(DiskError, match=r"need about \d+ MB, have 0 MB") as caught:
        convert(source, tmp_path / "deep" / "shards", options())
    assert caught.value.path == str(tmp_path / "deep" / "shards")
    assert "another disk" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_the_command_ends_with_status_5(
    source: Path, tmp_path: Path, set_free: Callable[[int], None], pipeline_command: Command
) -> None:
    """Two lines, no traceback."""
    set_free(1000)
    outcome = pipeline_command("convert", source, tmp_path / "shards", "--drop", "word", "--quiet")
    assert outcome.status == 5
    first, second = outcome.stderr.splitlines()
    assert first.startswith(f"error[E502] {tmp_path / 'shards'}: need about ")
    assert second.startswith("  hint: ")


@pytest.mark.parametrize(("share", "is_told"), [(0.6, True), (1.05, True), (1.2, False)])
def test_where_it_will_be_close_there_is_a_word(
    source: Path, tmp_path: Path, set_free: Callable[[int], None], *, share: float, is_told: bool
) -> None:
    """Between the least and the expected, it begins all the same, and says so."""
    set_free(int(make_plan(source, options()).disk.num_bytes * share))
    told = Told()
    convert(source, tmp_path / "shards", options(), progress=told)
    assert (tmp_path / "shards" / "manifest.json").exists()
    assert told.stages == (["the disk may not suffice"] if is_told else [])
    assert any(result.startswith("need about ") for result in told.results) == is_told


def test_what_is_there_already_counts(tmp_path: Path, set_free: Callable[[int], None]) -> None:
    """A conversion that is continued needs only what it has not yet written."""
    set_free(400)
    disk = DiskPlan(dataset_bytes=2000, least_bytes=1000)
    with pytest.raises(DiskError):
        check_room(disk, tmp_path / "shards", Told())
    (tmp_path / "shards.incomplete" / "runs").mkdir(parents=True)
    (tmp_path / "shards.incomplete" / "runs" / "run-00000").write_bytes(bytes(700))
    check_room(disk, tmp_path / "shards", Told())


def test_a_compressed_source_holds_at_least_itself(source: Path, tmp_path: Path) -> None:
    """How far a compressed source expands is not known: the least takes it for what it is."""
    import gzip  # noqa: PLC0415  # here only

    packed = tmp_path / "raw.csv.gz"
    packed.write_bytes(gzip.compress(source.read_bytes()))
    plain, compressed = (make_plan(path, options()).disk for path in (source, packed))
    ratio = source.stat().st_size / packed.stat().st_size
    assert compressed.least_bytes == pytest.approx(plain.least_bytes / ratio, rel=0.05)


def test_the_free_space_is_that_of_the_nearest_folder(tmp_path: Path) -> None:
    """The target and folders above it need not exist."""
    free = free_bytes(tmp_path / "not" / "yet" / "there")
    assert free is not None
    assert free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.05)
    assert free_bytes(Path("relative")) is not None
