"""`fetch` writes the same simulated bytes whoever draws them, and knows HEPMASS by its checksums."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline import fetch as module
from pipeline.download import RemoteFile
from pipeline.errors import OptionError, TargetExistsError
from pipeline.fetch import HEPMASS, FetchSummary, fetch_hepmass, fetch_simulated
from pipeline.partial import partial_path
from pipeline.simulation.records import BLOCK_RECORDS, simulate_block

if TYPE_CHECKING:
    from pathlib import Path

NUM_RECORDS = BLOCK_RECORDS + 7  # two blocks, the second not whole


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> FetchSummary:
    """8,199 records of seed 1, drawn by one worker."""
    dest = tmp_path_factory.mktemp("simulated") / "raw.csv"
    return fetch_simulated(dest, num_records=NUM_RECORDS, seed=1, num_workers=1)


class Counter:
    """A `Progress` that counts."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.done = 0

    def start(self, stage: str, *, total: int | None, unit: str) -> None:
        """Note the stage."""
        self.lines.append(f"{stage} {total} {unit}")

    def advance(self, amount: int, *, records: int = 0) -> None:  # noqa: ARG002  # the protocol's
        """Count."""
        self.done += amount

    def finish(self, result: str = "") -> None:  # noqa: ARG002  # the protocol's
        """Note the end."""
        self.lines.append("end")


def test_text_is_that_of_savetxt(simulated: FetchSummary) -> None:
    """The file is, byte for byte, what numpy.savetxt writes of the same records under HEPMASS's header."""
    records = np.concatenate([simulate_block(seed=1, block=block) for block in (0, 1)])[:NUM_RECORDS]
    header = "label," + ",".join(f"f{index}" for index in range(27)) + ",mass"
    wanted = io.BytesIO()
    np.savetxt(wanted, records, fmt="%.18e", delimiter=",", header=header)
    assert simulated.path.read_bytes() == wanted.getvalue()


def test_any_csv_reader_reads_it(simulated: FetchSummary) -> None:
    """Each row has 29 numbers which are float32 exactly; mass 500 is stored as in HEPMASS."""
    with simulated.path.open(newline="", encoding="ascii") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["# label", *(f"f{index}" for index in range(27)), "mass"]
    assert len(rows) == 1 + NUM_RECORDS
    values = np.array(rows[1:], np.float64)
    assert (values == values.astype(np.float32)).all()
    assert "4.999999694824218750e+02" in {row[-1] for row in rows}


def test_summary(simulated: FetchSummary) -> None:
    """The summary tells size, records and SHA-256 of what is there."""
    content = simulated.path.read_bytes()
    assert simulated == FetchSummary(
        path=simulated.path,
        num_bytes=len(content),
        num_records=NUM_RECORDS,
        sha256=hashlib.sha256(content).hexdigest(),
    )


@pytest.mark.parametrize("num_workers", [2, 3, None])
def test_workers_do_not_matter(simulated: FetchSummary, tmp_path: Path, num_workers: int | None) -> None:
    """Any number of workers writes the same bytes."""
    dest = tmp_path / "raw.csv"
    fetch_simulated(dest, num_records=NUM_RECORDS, seed=1, num_workers=num_workers)
    assert dest.read_bytes() == simulated.path.read_bytes()


def test_fewer_records_are_a_prefix(simulated: FetchSummary, tmp_path: Path) -> None:
    """Asking for fewer records gives the first ones of many."""
    few = fetch_simulated(tmp_path / "few.csv", num_records=10, seed=1)
    assert simulated.path.read_bytes().startswith(few.path.read_bytes())
    assert len(few.path.read_bytes().splitlines()) == 11


def test_gzip_holds_the_same_text(simulated: FetchSummary, tmp_path: Path) -> None:
    """A name in .gz gives one gzip member without time or name, which holds the plain text, each time."""
    paths = [tmp_path / "one.csv.gz", tmp_path / "two.csv.gz"]
    summaries = [
        fetch_simulated(path, num_records=NUM_RECORDS, seed=1, num_workers=num_workers)
        for path, num_workers in zip(paths, (1, 2), strict=True)
    ]
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert gzip.decompress(first) == simulated.path.read_bytes()
    assert first[3:8] == bytes(5)  # flags and time
    assert summaries[0].num_bytes == len(first) < simulated.num_bytes / 2
    assert summaries[0].sha256 == hashlib.sha256(first).hexdigest()


def test_progress_counts_records(tmp_path: Path) -> None:
    """Progress is told in records and ends at their number."""
    progress = Counter()
    fetch_simulated(tmp_path / "raw.csv", num_records=NUM_RECORDS, seed=1, progress=progress)
    assert progress.lines == [f"simulating {NUM_RECORDS} records", "end"]
    assert progress.done == NUM_RECORDS


@pytest.mark.parametrize(("num_records", "seed"), [(0, 1), (-5, 1), (5, -1), (5, 1 << 64)])
def test_options_out_of_range(tmp_path: Path, num_records: int, seed: int) -> None:
    """No records, or a seed beyond 64 bits, is a usage error with a hint, and nothing is written."""
    with pytest.raises(OptionError) as caught:
        fetch_simulated(tmp_path / "raw.csv", num_records=num_records, seed=seed)
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_greatest_seeds(tmp_path: Path) -> None:
    """The greatest seeds that are allowed differ in what they give."""
    digests = {
        fetch_simulated(tmp_path / f"{offset}.csv", num_records=1, seed=(1 << 64) - offset).sha256
        for offset in (1, 2, 1 << 63)
    }
    assert len(digests) == 3


def test_existing_file_is_never_replaced(tmp_path: Path) -> None:
    """A file under the name stays as it is."""
    (tmp_path / "raw.csv").write_bytes(b"mine")
    with pytest.raises(TargetExistsError):
        fetch_simulated(tmp_path / "raw.csv", num_records=1, seed=1)
    assert (tmp_path / "raw.csv").read_bytes() == b"mine"


def test_an_interrupted_simulation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulation that is interrupted leaves neither file nor partial file."""
    calls = itertools.count()

    def interrupted(*, seed: int, block: int) -> np.ndarray:
        if next(calls):
            raise KeyboardInterrupt
        return simulate_block(seed=seed, block=block)

    monkeypatch.setattr(module, "simulate_block", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch_simulated(tmp_path / "raw.csv", num_records=NUM_RECORDS, seed=1, num_workers=1)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_killed_simulation_are_overwritten(simulated: FetchSummary, tmp_path: Path) -> None:
    """What a killed process left beside the name does not get into the file."""
    partial_path(tmp_path / "raw.csv").write_bytes(b"# label,f0,")
    again = fetch_simulated(tmp_path / "raw.csv", num_records=NUM_RECORDS, seed=1)
    assert again.sha256 == simulated.sha256
    assert [path.name for path in tmp_path.iterdir()] == ["raw.csv"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[RemoteFile, str, Path]]:
    """What is asked of `download`, which does nothing meanwhile but say that 5 bytes were there."""
    calls: list[tuple[RemoteFile, str, Path]] = []

    def remember(remote: RemoteFile, url: str, dest: Path, **_: object) -> int:
        calls.append((remote, url, dest))
        return 5

    monkeypatch.setattr(module, "download", remember)
    return calls


@pytest.mark.parametrize("base_url", ["http://127.0.0.1/data", "http://127.0.0.1/data/"])
def test_hepmass_parts(asked: list[tuple[RemoteFile, str, Path]], tmp_path: Path, base_url: str) -> None:
    """A part is asked for under its own name, with its own checksum, and kept in a folder under that name."""
    summary = fetch_hepmass(tmp_path, part="test", base_url=base_url)
    assert asked == [(HEPMASS["test"], "http://127.0.0.1/data/all_test.csv.gz", tmp_path / "all_test.csv.gz")]
    assert summary == FetchSummary(
        path=tmp_path / "all_test.csv.gz",
        num_bytes=880_352_641,
        num_records=3_500_000,
        sha256="eccba00f8d82c471c582ab629084103356f8dda637fad6d43f16a056673091b3",
        num_resumed_bytes=5,
    )


def test_hepmass_under_another_name(asked: list[tuple[RemoteFile, str, Path]], tmp_path: Path) -> None:
    """A name that is no folder is the file's; the training part and its public home are the default."""
    fetch_hepmass(tmp_path / "mine.csv.gz")
    assert asked == [(HEPMASS["train"], module.HEPMASS_URL + "all_train.csv.gz", tmp_path / "mine.csv.gz")]


def test_hepmass_that_is_there(
    asked: list[tuple[RemoteFile, str, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file with the right checksum is left as it is, and the summary says so."""
    content = b"as if it were the real one"
    remote = RemoteFile(name="x.gz", num_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(module.HEPMASS, "train", remote)
    (tmp_path / "x.gz").write_bytes(content)
    summary = fetch_hepmass(tmp_path)
    assert summary.was_present
    assert summary.path == tmp_path / "x.gz"
    assert asked == []


def test_unknown_part(tmp_path: Path) -> None:
    """A part that does not exist is a usage error that names the nearest."""
    with pytest.raises(OptionError, match="no part 'tset'") as caught:
        fetch_hepmass(tmp_path, part="tset")
    assert caught.value.hint == "did you mean 'test'?"
