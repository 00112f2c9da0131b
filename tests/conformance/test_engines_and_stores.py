"""The same text and options give the same bytes: whoever does the work, wherever source and target are."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import json
from typing import TYPE_CHECKING, Any, Literal

import pytest

from pipeline import plan
from pipeline.convert import convert, planning
from pipeline.convert.exchange import exchange_of
from pipeline.convert.memory import divide
from pipeline.engine import clusters, dask
from pipeline.schema import RoleOptions
from pipeline.source.listing import list_sources
from pipeline.storage.paths import locate, names_in
from support.certificates import certificates
from support.clusters import run_client, running_cluster
from support.datasets import make_options
from support.http_server import http_server
from support.s3_server import BUCKET, s3_server
from support.sftp_server import sftp_server
from support.small_scale import RANGE_BYTES, ROW_GROUP_BYTES, RUNS_BYTES
from support.texts import numbered_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.plan import ConvertOptions, MemoryPlan
    from support.clusters import Cluster
    from support.command import Command
    from support.s3_server import S3

Files = dict[str, bytes]

NUM_RECORDS = 2400
NUM_FILES = 8
KINDS = (
    "plain",
    "gzip",
    "eight files",
    "S3",
    "gzip in S3",
    "eight files in S3",
    "HTTP with ranges",
    "HTTP without ranges",
)


def source_text() -> bytes:
    """Return numbers and words, two rows that are no records, a blank line, a cell with a line end."""
    header, *rows = numbered_text(NUM_RECORDS, seed=8).splitlines()
    lines = [f"{header},word", *(f"{row},w{index % 7}" for index, row in enumerate(rows))]
    for at, line in [(50, "1,50,,"), (700, ""), (900, "0,x,1.0,2.0,w"), (1200, '1,9000,0.5,0.5,"a, b"')]:
        lines.insert(at, line)
    return ("\n".join(lines) + "\n").encode()


def eight_files() -> Files:
    """Return the same rows as eight files, two compressed, one with its columns in another order."""
    header, *rows = source_text().splitlines(keepends=True)
    step = -(-len(rows) // NUM_FILES)
    found = {}
    for index in range(NUM_FILES):
        part = rows[index * step : (index + 1) * step]
        if index == 5:
            part = [
                b",".join([*row.split(b",")[1:4], row.split(b",")[0], row.split(b",", 4)[4]]) for row in part
            ]
        text = (b"id,f0,f1,label,word\n" if index == 5 else header) + b"".join(part)
        found[f"part-{index}.csv"] = gzip.compress(text) if index in {2, 3} else text
    return found


@pytest.fixture(scope="module", autouse=True)
def small_scale() -> Iterator[None]:
    """Small row groups and little memory for runs: several runs a worker, several windows a task."""

    def little(*given: Any, **named: Any) -> MemoryPlan:
        return dataclasses.replace(divide(*given, **named), runs_bytes=RUNS_BYTES)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "ROW_GROUP_BYTES", ROW_GROUP_BYTES)
        patch.setattr(planning.memory, "divide", little)
        yield


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    """An S3 that this process, and all it starts, takes for Amazon's."""
    with s3_server() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="module")
def cluster(s3: S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two workers that know the S3."""
    with running_cluster(
        tmp_path_factory.mktemp("cluster") / "c", num_workers=2, environment=s3.environment
    ) as found:
        yield found


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the text is: what a user would name, and whether it is in eight files."""

    named: str
    is_many: bool = False


@pytest.fixture(scope="module")
def place_of(s3: S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Place]]:
    """A maker of sources by their kind, those of `KINDS`."""
    folder = tmp_path_factory.mktemp("sources")
    text, many = source_text(), eight_files()
    stored = {"raw.csv": text, "packed/raw.csv": gzip.compress(text)}
    stored |= {f"many/{name}": data for name, data in many.items()}
    for name, data in stored.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    s3.put(stored)
    with http_server(stored, with_ranges=True) as ranged, http_server(stored, with_ranges=False) as whole:
        found = {
            "plain": Place(named=f"{folder}/raw.csv"),
            "gzip": Place(named=f"{folder}/packed/raw.csv"),
            "eight files": Place(named=f"{folder}/many", is_many=True),
            "S3": Place(named=f"s3://{BUCKET}/raw.csv"),
            "gzip in S3": Place(named=f"s3://{BUCKET}/packed/raw.csv"),
            "eight files in S3": Place(named=f"s3://{BUCKET}/many/part-*", is_many=True),
            "HTTP with ranges": Place(named=f"{ranged.url}/raw.csv"),
            "HTTP without ranges": Place(named=f"{whole.url}/raw.csv"),
        }
        yield found.__getitem__


def mostly_slow(*quick: str) -> list[Any]:
    """Return all kinds of sources as parameters of tests that are slow, but for those named."""
    return [kind if kind in quick else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]


def refusal(command: Command, *arguments: str) -> list[str]:
    """Return the lines of the error that ends a conversion."""
    outcome = command("convert", *arguments, "--quiet")
    assert outcome.status == 5
    return outcome.stderr.splitlines()


def options(**more: Any) -> ConvertOptions:
    """Return the options of all conversions here; `more` changes no byte."""
    given = make_options(
        range_bytes=RANGE_BYTES, shard_bytes=16_000, on_bad_row="skip", keep=("word",), num_workers=1
    )
    return dataclasses.replace(given, **more)


def converted(place: Place, target: str, given: ConvertOptions) -> Files:
    """Convert to `target`, in S3 or not, and return the bytes of all files there; fail if others are left."""
    where = locate(target)
    convert(list_sources([place.named]), where, given)
    assert names_in(where.with_name(where.name + ".incomplete")) == []
    return {name: (where / name).read_bytes() for name in names_in(where)}


def without_sizes(files: Files) -> Files:
    """Return `files`, the manifest without its digest and the sizes of source files as they are stored."""
    manifest = json.loads(files["manifest.json"])
    del manifest["digest"]
    for entry in manifest["source"]["files"]:
        del entry["bytes"]
    return files | {"manifest.json": json.dumps(manifest).encode()}


@pytest.fixture(scope="module")
def expected(
    place_of: Callable[[str], Place], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Place], Files]:
    """What one thread makes of plain files: of one file, and of eight."""

    @functools.cache
    def of_files(kind: str) -> Files:
        files = converted(place_of(kind), f"{tmp_path_factory.mktemp('expected')}/shards", options())
        assert sorted(files)[:2] == ["manifest.json", "rejects.jsonl"]
        assert len(files) > 6
        return without_sizes(files)

    return lambda place: of_files("eight files" if place.is_many else "plain")


@pytest.mark.parametrize("kind", mostly_slow("plain", "HTTP with ranges"))
def test_the_workers_of_a_cluster_give_the_same_bytes(
    kind: str,
    place_of: Callable[[str], Place],
    expected: Callable[[Place], Files],
    cluster: Cluster,
    tmp_path: Path,
) -> None:
    """Two processes make of every source the bytes that one thread makes of plain files."""
    given = options(engine="dask", scheduler=cluster.address)
    found = converted(place_of(kind), f"{tmp_path}/shards", given)
    assert without_sizes(found) == expected(place_of(kind))


def test_a_large_plan_travels_once(
    place_of: Callable[[str], Place],
    expected: Callable[[Place], Files],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A plan too large to go with each task is sent to each worker, and the bytes are the same."""
    monkeypatch.setattr(dask, "MAX_INLINE_BYTES", 0)
    given = options(engine="dask", num_workers=2)
    found = converted(place_of("plain"), f"{tmp_path}/shards", given)
    assert without_sizes(found) == expected(place_of("plain"))


@pytest.mark.parametrize("kind", mostly_slow("gzip in S3"))
def test_two_threads_give_the_same_bytes(
    kind: str, place_of: Callable[[str], Place], expected: Callable[[Place], Files], tmp_path: Path
) -> None:
    """Two threads do so, too."""
    found = converted(place_of(kind), f"{tmp_path}/shards", options(num_workers=2))
    assert without_sizes(found) == expected(place_of(kind))


@pytest.mark.parametrize("engine", [pytest.param("local", marks=pytest.mark.slow), "dask"])
def test_a_target_in_s3_gets_the_same_bytes(
    engine: Literal["local", "dask"],
    place_of: Callable[[str], Place],
    expected: Callable[[Place], Files],
    cluster: Cluster,
    s3: S3,
) -> None:
    """Objects are what files are; no upload is left unfinished."""
    given = options(engine=engine, scheduler=cluster.address if engine == "dask" else None)
    place = place_of("eight files in S3")
    assert without_sizes(converted(place, f"s3://{BUCKET}/{engine}/shards", given)) == expected(place)
    assert s3.uploads() == []


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_processes_gives_the_same_bytes(
    kind: str,
    num_workers: int,
    place_of: Callable[[str], Place],
    expected: Callable[[Place], Files],
    tmp_path: Path,
) -> None:
    """A cluster of our own, of one, two or three processes, makes no difference, whatever the source."""
    given = options(engine="dask", num_workers=num_workers)
    found = converted(place_of(kind), f"{tmp_path}/shards", given)
    assert without_sizes(found) == expected(place_of(kind))


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [1, 2, 3])
@pytest.mark.parametrize("kind", ["gzip in S3", "eight files in S3"])
def test_any_number_of_processes_writes_the_same_objects(
    kind: str,
    num_workers: int,
    place_of: Callable[[str], Place],
    expected: Callable[[Place], Files],
    s3: S3,
) -> None:
    """Nor does it where the target is in S3."""
    target = f"s3://{BUCKET}/{num_workers} of {kind}/shards"
    found = converted(place_of(kind), target, options(engine="dask", num_workers=num_workers))
    assert without_sizes(found) == expected(place_of(kind))
    assert s3.uploads() == []


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "dask"])
def test_sftp_gives_and_gets_the_same_bytes(
    engine: Literal["local", "dask"],
    place_of: Callable[[str], Place],
    expected: Callable[[Place], Files],
    tmp_path: Path,
) -> None:
    """A server that is asked by SSH can have source and target, for two threads and for two processes."""
    pytest.importorskip("paramiko")
    plain = place_of("eight files")
    with sftp_server() as url:
        place = dataclasses.replace(plain, named=f"{url}{plain.named}/part-*")
        for given in (options(engine=engine, num_workers=2), options(num_workers=2, overwrite=True)):
            found = converted(place, f"{url}{tmp_path}/shards", given)
            assert without_sizes(found) == expected(plain)
    assert [path.name for path in tmp_path.iterdir()] == ["shards"]


@pytest.mark.usefixtures("s3")
def test_a_store_that_fails_is_told(pipeline_command: Command, tmp_path: Path) -> None:
    """What the store says is shown at the place that was asked for."""
    (tmp_path / "raw.csv").write_bytes(source_text())
    assert refusal(pipeline_command, f"{tmp_path}/raw.csv", "s3://none/shards", "--keep", "word") == [
        "error[E507] s3://none/shards: The specified bucket does not exist",
        "  hint: check address, credentials and network, then run it again",
    ]


def test_a_cluster_that_is_not_there_is_told(
    pipeline_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no scheduler answers, the error says how to start one."""
    monkeypatch.setattr(clusters, "PATIENCE_SECONDS", 0.2)
    (tmp_path / "raw.csv").write_bytes(source_text())
    first, second = refusal(
        *(pipeline_command, f"{tmp_path}/raw.csv", f"{tmp_path}/shards", "--keep", "word"),
        *("--engine", "dask", "--scheduler", "tcp://127.0.0.1:9"),
    )
    assert first.startswith("error[E508] tcp://127.0.0.1:9: no scheduler answers: ")
    assert second == "  hint: start one: dask scheduler"


@pytest.mark.slow
@pytest.mark.parametrize("num_records", [NUM_RECORDS, 5 * NUM_RECORDS])
def test_the_model_tells_how_often_a_store_is_asked(num_records: int, s3: S3, cluster: Cluster) -> None:
    """The reads and writes that a dry run shows are those that the store counts, within a sixth."""
    s3.put({"model.csv": numbered_text(num_records).encode()})
    given = dataclasses.replace(
        options(engine="dask", scheduler=cluster.address, num_workers=2), roles=RoleOptions()
    )
    source = list_sources([f"s3://{BUCKET}/model.csv"])
    found = exchange_of(planning.make_plan(source, given), 2)
    s3.requests.clear()
    convert(source, locate(f"s3://{BUCKET}/model {num_records}/shards"), given)
    assert s3.requests["GET"] == pytest.approx(found.num_reads, rel=1 / 6)
    assert s3.requests["PUT"] + s3.requests["COPY"] == pytest.approx(found.num_writes, rel=1 / 6)


@pytest.mark.slow
def test_a_cluster_may_speak_tls(
    place_of: Callable[[str], Place], expected: Callable[[Place], Files], tmp_path: Path
) -> None:
    """With tls:// and certificates in the environment it is the same; without them nobody is let in."""
    environment, flags = certificates(tmp_path)
    place = place_of("plain")
    with running_cluster(
        tmp_path / "cluster", num_workers=2, options=("--protocol", "tls", *flags)
    ) as cluster:
        assert cluster.address.startswith("tls://")
        command = ("convert", place.named, "shards", "--quiet", "--keep", "word", "--on-bad-row", "skip")
        dask = ("--shard-size", "16kB", "--engine", "dask", "--scheduler", cluster.address)
        refused = run_client(*command, *dask, cwd=tmp_path)
        assert refused.status == 5
        assert f"error[E508] {cluster.address}: no certificates for TLS" in refused.stderr
        outcome = run_client(*command, *dask, cwd=tmp_path, environment=environment)
        assert (outcome.status, outcome.stderr) == (0, "")
    found = {path.name: path.read_bytes() for path in (tmp_path / "shards").iterdir()}
    assert without_sizes(found) == expected(place)


def test_dask_writes_its_own_report(place_of: Callable[[str], Place], tmp_path: Path) -> None:
    """With --performance-report there is Dask's page, which knows our tasks by name."""
    page = tmp_path / "report.html"
    given = options(engine="dask", num_workers=1, performance_report=str(page))
    converted(place_of("plain"), str(tmp_path / "shards"), given)
    text = page.read_text(encoding="utf-8")
    assert "Dask Performance Report" in text
    assert "write_task" in text
