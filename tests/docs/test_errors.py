"""docs/errors.md says of every error what the code says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import cli, errors
from support.documents import document, table_rows

if TYPE_CHECKING:
    from collections.abc import Iterator


def all_errors(
    base: type[errors.PipelineError] = errors.PipelineError,
) -> Iterator[type[errors.PipelineError]]:
    """Yield every class below `base`."""
    for kind in base.__subclasses__():
        yield kind
        yield from all_errors(kind)


def test_every_error_has_its_row() -> None:
    """Code, class, exit status and meaning in the table are those of the classes, all of them."""
    in_code = {
        (
            kind.code,
            f"`{kind.__name__}`",
            str(kind.exit_status),
            str(kind.__doc__).splitlines()[0].rstrip("."),
        )
        for kind in all_errors()
    }
    rows = table_rows(document("docs/errors.md"), r"E\d{3}")
    assert {tuple(row[:4]) for row in rows} == in_code
    assert len(rows) == len(in_code)
    assert all(row[4] for row in rows), "every error has something that can be done"


def test_every_exit_status_is_explained() -> None:
    """The table of exit statuses holds every status the program can end with."""
    rows = table_rows(document("docs/errors.md"), r"\d+")
    statuses = {kind.exit_status for kind in all_errors()} | {0, 1, cli.INTERRUPTED, cli.TERMINATED}
    assert {int(row[0]) for row in rows} == statuses


def test_module_docstring_draws_the_whole_tree() -> None:
    """The tree at the top of pipeline/errors.py names every class, and the code of every leaf."""
    drawn = str(errors.__doc__)
    for kind in all_errors():
        assert kind.__name__ in drawn
        assert kind.code in drawn or kind.code.endswith("00")
