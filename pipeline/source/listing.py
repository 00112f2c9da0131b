"""Owns which files a source is: what a user names, made into a list of files in a defined order.

The order of what is named stays; what a pattern or a folder stands for comes in the order of the names, code
point by code point. Neighbours: `sniff` looks into them.
"""

from __future__ import annotations

import functools
import glob
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import OptionError, SourceNotFoundError
from pipeline.standard_input import StandardInput
from pipeline.storage.paths import locate, system_errors_told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.storage.paths import SourcePath

STANDARD_INPUT = "-"
PATTERN = re.compile(r"[*?\[]")
# What in a folder is taken for a CSV; a file that is named is taken whatever it is called.
CSV_NAME = re.compile(r"[^._].*\.(?:csv|tsv|txt|dat)(?:\.[a-z0-9]+)?", re.IGNORECASE)


def list_sources(named: Sequence[str]) -> tuple[SourcePath, ...]:
    """Return the files that `named` stand for: files, patterns with * ? [ ] and **, folders, URLs, or "-".

    Raises:
        SourceNotFoundError: nothing matches a pattern, or a folder holds no CSV.
        OptionError: a file is named twice, or "-" among others.
    """
    if STANDARD_INPUT in named:
        if len(named) > 1:
            raise OptionError("standard input cannot be read together with files", hint="name files alone")
        return (StandardInput(),)
    files = [file for text in named for file in _files_of(text)]
    real = (
        file.resolve() if isinstance(file, Path) else file for file in files
    )  # links lead to the same records
    twice = [place for place, count in Counter(map(str, real)).items() if count > 1]
    if twice:
        raise OptionError(f"a source is named twice: {twice[0]}", hint="name every file once")
    return tuple(files)


def _files_of(text: str) -> list[SourcePath]:
    path = locate(text)
    with system_errors_told(path, hint="check the disk"):
        if isinstance(path, Path):
            return _local_files(path, text)
        if PATTERN.search(text):
            found = sorted(path.fs.glob(path.path))
            again = functools.partial(type(path), protocol=path.protocol, **path.storage_options)
            return _or_none([again(name) for name in found], text)
        if path.protocol not in {"http", "https"} and path.is_dir():
            inside = [entry for entry in path.iterdir() if CSV_NAME.fullmatch(entry.name)]
            return _or_none(sorted(inside, key=str), text)
        return [path]


def _local_files(path: Path, text: str) -> list[SourcePath]:
    if path.is_dir():
        inside = [entry for entry in path.iterdir() if CSV_NAME.fullmatch(entry.name) and entry.is_file()]
        return _or_none(sorted(inside, key=str), text)
    if PATTERN.search(text) and not path.exists():
        found = [Path(name) for name in glob.glob(text, recursive=True)]  # noqa: PTH207  # as the shell does
        return _or_none(sorted((file for file in found if file.is_file()), key=str), text)
    return [path]


def _or_none(files: Sequence[SourcePath], text: str) -> list[SourcePath]:
    if not files:
        said = "nothing matches" if PATTERN.search(text) else "a folder without CSV files"
        raise SourceNotFoundError(said, path=text, hint="name the files")
    return list(files)
