"""Turns the reports of the benchmarks into Markdown tables; one function per report."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Report = dict[str, Any]

MEBIBYTE = 1 << 20
AIMS = {
    "ours, Parquet / polars_in_memory": "≤ 0.75",
    "ours, Parquet / duckdb_order_by_hash": "≤ 0.5",
    "ours, Parquet / polars_parse_blocks": "≤ 1.5",
    "ours, TFRecord / ours, Parquet": "≤ 1.3",
    "256MiB: peak RSS, MiB": "≤ 256",
    "1GiB: peak RSS, MiB": "≤ 1024",
    "256MiB: temporary disk / shards": "≤ 1.1",
    "1GiB: temporary disk / shards": "≤ 1.1",
    "7,000,000 records: 256MiB / 1GiB, time": "≤ 1.5",
    "7 times the records / time": "≤ 7.5",
    "2 workers, speed-up": "≥ 1.8",
    "Dask / threads, 1 times the records": "≤ 1.25",
    "Dask / threads, 7 times the records": "≤ 1.10",
    "a cluster that is there / threads, 1 times the records": "≤ 1.25",
    "a cluster that is there / threads, 7 times the records": "≤ 1.10",
    "memory of the largest Dask worker / --memory": "≤ 1",
    "pipeline --help, s": "< 0.3",
    "convert 1,000 records, s": "< 1",
    "share of the checks": "≤ 0.05",
    "ours, silently wrong": "0",
    "ours, 28 features and a label, 1 thread, records/s": "≥ 1,500,000",
    "to_one_vector": "≥ 20",
    "predict, records/s": "≥ 200,000",
    "predict in bfloat16, records/s": "≥ 200,000",
    "ours, numpy, parquet, batch 1,024, records/s": "≥ 10,000,000",
    "ours, tf.data, parquet, batch 1,024, records/s": "≥ 3,000,000",
    "ours, tf.data, tfrecord, batch 1,024, records/s": "≥ 1,000,000",
    "ours, numpy, parquet: first batch after, s": "< 1",
    "ours, tf.data, parquet: first batch after, s": "< 1",
    "verify parquet, MB/CPU s": "≥ 500",
    "verify tfrecord, MB/CPU s": "≥ 500",
    "from shards / from memory, batch 1,024": "≥ 0.97",
    "from shards / from memory, batch 8,192": "≥ 0.97",
    "from shards, batch 1,024 / the report's loop": "≥ 8",
    "from shards, batch 8,192 / the report's loop": "≥ 8",
}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are aligned right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return median, least and greatest of `values`."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def figures(report: Report) -> str:
    """Return the ratios of a report beside what was aimed at."""
    rows = [
        [name, f"{value:,.2f}" if value < 100 else f"{value:,.0f}", AIMS.get(name, "")]
        for name, value in report["figures"].items()
    ]
    return table(["figure", "measured", "aim"], rows)


def convert(report: Report) -> str:
    """Return every contender: what it does, seconds, rates, processor seconds, memory."""
    rows = []
    for result in sorted(report["results"], key=lambda r: statistics.median(r["seconds"])):
        seconds = statistics.median(result["seconds"])
        name = result["name"]
        rows.append(
            [
                f"**{name}**" if name.startswith("ours") else f"[{name}](peers/{name}.py)",
                result["does"],
                spread(result["seconds"]),
                f"{result['source_bytes'] / seconds / 1e6:,.0f}",
                f"{result['num_records'] / seconds:,.0f}",
                f"{statistics.median(result['cpu_seconds']):,.2f}",
                _mebibytes(result),
            ]
        )
    return table(["", "does", "seconds", "MB/s", "records/s", "CPU s", "peak RSS, MiB"], rows)


def memory(report: Report) -> str:
    """Return peak memory, seconds and temporary disk of every contender on every file."""
    rows = []
    for result in report["results"]:
        disk = max(result["temporary_bytes"]) / max(result["output_bytes"])
        rows.append(
            [
                f"{result['num_records']:,}",
                result["name"],
                _mebibytes(result),
                spread(result["seconds"]),
                f"{disk:.2f}" if result["name"].startswith("ours") else "",
            ]
        )
    return table(["records", "", "peak RSS, MiB", "seconds", "temporary disk / shards"], rows)


def scaling(report: Report) -> str:
    """Return seconds over records, and speed-up and efficiency over workers."""
    by_size = [result for result in report["results"] if result["varied"] == "records"]
    by_workers = [result for result in report["results"] if result["varied"] == "workers"]
    first, alone = (statistics.median(found[0]["seconds"]) for found in (by_size, by_workers))
    sizes = [
        [
            f"{result['num_records']:,}",
            spread(result["seconds"]),
            f"{statistics.median(result['seconds']) / first:.2f}",
            _mebibytes(result),
        ]
        for result in by_size
    ]
    workers = []
    for result in by_workers:
        speed_up = alone / statistics.median(result["seconds"])
        efficiency = speed_up / result["num_workers"]
        workers.append(
            [str(result["num_workers"]), spread(result["seconds"]), f"{speed_up:.2f}", f"{efficiency:.2f}"]
        )
    return "\n\n".join(
        [
            table(["records", "seconds", "ratio", "peak RSS, MiB"], sizes),
            table(["workers", "seconds", "speed-up", "efficiency"], workers),
        ]
    )


def start(report: Report) -> str:
    """Return the seconds of each command."""
    rows = [[result["name"], spread(result["seconds"]), _mebibytes(result)] for result in report["results"]]
    return table(["", "seconds", "peak RSS, MiB"], rows)


def steps(report: Report) -> str:
    """Return the processor seconds of each step of a conversion, and their shares."""
    seconds = {result["name"]: statistics.median(result["cpu_seconds"]) for result in report["results"]}
    total = sum(seconds.values())
    rows = [[name, f"{taken:.2f}", f"{taken / total:.0%}"] for name, taken in seconds.items()]
    return table(["step", "CPU s", "share"], [*rows, ["all", f"{total:.2f}", "100%"]])


def tfrecord(report: Report) -> str:
    """Return the rates of encoding, decoding and checksums."""
    rows = []
    for result in report["results"]:
        timed = result["seconds"]
        rows.append(
            [
                result["name"],
                f"{result['records_per_second']:,.0f}",
                f"{result['megabytes_per_second']:,.0f}",
                f"{timed['median']:.3f} ({timed['min']:.3f} to {timed['max']:.3f})",
            ]
        )
    return table(["", "records/s", "MB/s", "seconds"], rows)


def loader(report: Report) -> str:
    """Return rate, time to the first batch, processor time and memory of every loader, the fastest first."""
    rows = []
    for result in sorted(report["results"], key=lambda r: -statistics.median(r["rates"])):
        name = f"{result['name']}" + ("" if result["name"].startswith("ours") else f" {result['version']}")
        rows.append(
            [
                f"**{name}**" if name.startswith("ours") else name,
                f"{result['batch_size']:,}",
                spread(result["rates"], 0),
                f"{statistics.median(result['first_batch_seconds']):.2f}",
                f"{statistics.median(result['cpu_nanoseconds']):,.0f}",
                _mebibytes(result),
            ]
        )
    header = ["", "batch", "records/s", "first batch, s", "CPU ns a record", "peak RSS, MiB"]
    return table(header, rows)


def train(report: Report) -> str:
    """Return the rates of training."""
    rows = [
        [result["name"], f"{result['batch_size']:,}", spread(result["rates"], 0)]
        for result in report["results"]
    ]
    return table(["", "batch", "records/s"], rows)


def predict(report: Report) -> str:
    """Return rate, processor time and memory of every way to predict, the fastest first."""
    rows = [
        [
            f"**{result['name']}**"
            if result["name"] in {"predict", "bfloat16", "command"}
            else result["name"],
            spread(result["rates"], 0),
            f"{statistics.median(result['cpu_nanoseconds']):,.0f}",
            _mebibytes(result),
        ]
        for result in sorted(report["results"], key=lambda r: -statistics.median(r["rates"]))
    ]
    return table(["", "records/s", "CPU ns a record", "peak RSS, MiB"], rows)


def verify(report: Report) -> str:
    """Return the rates of verifying, and of hashing alone."""
    rows = [
        [result["name"], spread(result["rates"], 0), spread(result["cpu_rates"], 0)]
        for result in report["results"]
    ]
    return table(["", "MB/s", "MB/CPU s"], rows)


def silent(report: Report) -> str:
    """Return the verdicts on every reader, and what was silently wrong, by what the files are about."""
    results = report["results"]
    verdicts = {
        "right": "right",
        "told": "error",
        "refused": "refused",
        "shown": "to be seen",
        "silent": "silently wrong",
    }
    totals = [[_reader(result), *(str(result["totals"][key]) for key in verdicts)] for result in results]
    families = list(results[0]["families"])
    wrong = [
        [_reader(result), *(str(counts["silent"] or "") for counts in result["families"].values())]
        for result in results
    ]
    sizes = [str(sum(counts.values())) for counts in results[0]["families"].values()]
    return "\n\n".join(
        [
            table(["", *verdicts.values()], totals),
            "Of these silently wrong, by what is odd about the file:",
            table(["", *families], [["files", *sizes], *wrong]),
            "\n".join(f"* {_reader(result)}: `{result['call']}`" for result in results),
        ]
    )


def _reader(result: dict[str, Any]) -> str:
    return f"**{result['name']}**" if result["name"] == "ours" else str(result["name"])


def _mebibytes(result: dict[str, Any]) -> str:
    return f"{max(result['peak_rss_bytes']) / MEBIBYTE:,.0f}"


TABLES: dict[str, Callable[[Report], str]] = {
    "convert": convert,
    "memory": memory,
    "scaling": scaling,
    "start": start,
    "steps": steps,
    "tfrecord": tfrecord,
    "loader": loader,
    "train": train,
    "verify": verify,
    "predict": predict,
    "silent": silent,
}
