"""Fuzzes the reading of sources, guided by coverage: header, delimiter, cutting, both parsers, the oracle.

atheris is not in the pinned set; anywhere it can be installed:

    pip install atheris
    python tests/fuzz/fuzz_source.py build/fuzz -max_total_time=1800

The folder is made, with the fixtures as its first inputs and a dictionary; what is found to reach further is
kept in it, and a later run goes on from there. Further options are libFuzzer's (`-help=1` lists them). An
input that fails is written to the working folder, and `python tests/fuzz/fuzz_source.py FILE` runs it again.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108  # every input is written to a file
INSTRUMENTED = ["pipeline.source", "pipeline.schema", "pipeline.convert.planning", "support.plain_csv"]
DEFAULTS = ["-max_len=1200", "-timeout=120"]


def main() -> None:
    """Fuzz until libFuzzer's options say that it is enough, or an input fails."""
    import atheris  # noqa: PLC0415  # optional, here only

    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    os.environ["POLARS_MAX_THREADS"] = "1"
    with atheris.instrument_imports(include=INSTRUMENTED):
        from support import fuzz_target  # noqa: PLC0415  # what it imports is instrumented
    options = sys.argv[1:]
    if options and not options[0].startswith("-") and not Path(options[0]).is_file():
        folder = Path(options[0])
        options[0] = str(folder / "corpus")
        write_seeds(Path(options[0]))
        (folder / "words").write_bytes(fuzz_target.dictionary())
        options.append(f"-dict={folder / 'words'}")
    with tempfile.TemporaryDirectory(dir=MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else None) as place:
        path = Path(place) / "raw.csv"
        atheris.Setup(
            [sys.argv[0], *DEFAULTS, *options], lambda data: void(fuzz_target.check_input(data, path))
        )
        atheris.Fuzz()


def void(_: object) -> None:
    """Return None, which libFuzzer wants of a target."""


def write_seeds(corpus: Path) -> None:
    """Write an input for each fixture into the folder `corpus`."""
    from support import fuzz_target  # noqa: PLC0415  # not before it is instrumented

    corpus.mkdir(parents=True, exist_ok=True)
    for number, (_, data) in enumerate(fuzz_target.seeds()):
        (corpus / f"seed-{number:03}").write_bytes(data)


if __name__ == "__main__":
    main()
