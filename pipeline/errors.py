"""Owns every error a user can meet: one class per stable code, grouped by exit status.

    PipelineError                                         exit
    ├── UsageError                E2xx  the command line     2
    │   ├── OptionError           E201  a value that cannot be used
    │   ├── TargetExistsError     E202  the target is there already
    │   └── OptionsChangedError   E203  an unfinished run was started otherwise
    ├── InputError                E1xx  the source           3
    │   ├── SourceNotFoundError   E101  no such file
    │   ├── FieldCountError       E102  too few or too many fields in a row
    │   ├── NotANumberError       E103  text in a numeric column
    │   ├── MissingValueError     E104  a cell without a value
    │   ├── NonFiniteError        E105  inf, or a number too large to hold
    │   ├── EmptySourceError      E106  no header line, or no data row
    │   ├── HeaderError           E107  duplicate or empty names, data as header
    │   ├── ColumnNotFoundError   E108  a column that an option names is not there
    │   ├── TextColumnError       E109  a text column nobody dropped or kept
    │   ├── LabelError            E110  a label that is no class, or too many
    │   ├── QuoteError            E111  an unclosed or stray quote
    │   ├── EncodingError         E112  not UTF-8 text, or no CSV at all
    │   ├── CompressionError      E113  damaged compressed data
    │   ├── SourceChangedError    E114  the source changed while it was read
    │   ├── DelimiterError        E115  one column found: wrong delimiter
    │   ├── LineTooLongError      E116  no end of line within the limit
    │   ├── TooManyRejectsError   E117  more rows set aside than --max-rejects
    │   ├── CategoriesError       E118  a category with too many values
    │   └── SplitError            E119  a cell that names no split, or nothing to train on
    ├── DatasetError              E4xx  shards and models    4
    │   ├── ManifestError         E401  no manifest, or one that cannot be used
    │   ├── ShardError            E402  a shard missing, cut or damaged
    │   ├── ModelError            E403  a model that cannot be used
    │   └── DivergedError         E404  the loss became NaN or infinite
    ├── MachineError              E5xx  the machine          5
    │   ├── MissingExtraError     E501  an optional dependency is not installed
    │   ├── DiskError             E502  no space left, or a failing disk
    │   ├── MemoryBudgetError     E503  --memory is too small for the work
    │   ├── AccessError           E504  permission denied
    │   ├── DownloadError         E505  the server could not deliver
    │   ├── ChecksumError         E506  the bytes received are not the bytes promised
    │   ├── StoreError            E507  an object store, or another reached by URL, failed
    │   └── WorkersLostError      E508  the processes of a cluster died, or were never there
    └── BusyError                 E601  another run owns it  6

Messages read: what was found and where, then what was expected; `hint` is one action.
Nobody below `cli` prints or exits.
"""

from __future__ import annotations

import difflib
import functools
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def nearest(name: str, known: Iterable[str], *, likeness: float = 0.5) -> str:
    """Return "did you mean 'x' or 'y'?" for the names in `known` nearest to `name`, or "".

    `likeness` is that of `difflib`, from 0 to 1: what is less alike is not named.
    """
    folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=likeness)
    if not close:
        return ""
    return "did you mean " + " or ".join(repr(folded[key]) for key in close) + "?"


class PipelineError(Exception):
    """Base of all errors of this package.

    `path`, `line` (1-based, as an editor counts) and `column` (a name) say where, as far as known.
    """

    code: ClassVar[str] = "E000"
    exit_status: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        path: str = "",
        line: int | None = None,
        column: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.path = path
        self.line = line
        self.column = column

    def __reduce__(self) -> tuple[Callable[..., PipelineError], tuple[Any, ...]]:
        # Exceptions pickle by positional arguments alone; an engine's worker process must lose no field.
        place: dict[str, Any] = {
            "hint": self.hint,
            "path": self.path,
            "line": self.line,
            "column": self.column,
        }
        return functools.partial(type(self), self.message, **place), ()

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        column = f"column {self.column!r}: " if self.column is not None else ""
        return (f"{place}: " if place else "") + column + self.message


class UsageError(PipelineError):
    """The command line asks for something that cannot be done."""

    code = "E200"
    exit_status = 2


class OptionError(UsageError, ValueError):
    """An option has a value that cannot be used."""

    code = "E201"


class TargetExistsError(UsageError, FileExistsError):
    """The target is there already, or is not a directory."""

    code = "E202"


class OptionsChangedError(UsageError):
    """An unfinished run beside the target was started with other options."""

    code = "E203"


class InputError(PipelineError):
    """The source cannot be read exactly."""

    code = "E100"
    exit_status = 3


class SourceNotFoundError(InputError, FileNotFoundError):
    """There is no such source."""

    code = "E101"


class FieldCountError(InputError, ValueError):
    """A row has too few or too many fields."""

    code = "E102"


class NotANumberError(InputError, ValueError):
    """A cell of a numeric column holds text."""

    code = "E103"


class MissingValueError(InputError, ValueError):
    """A cell has no value."""

    code = "E104"


class NonFiniteError(InputError, ValueError):
    """A cell is infinite, or too large for the type it must have."""

    code = "E105"


class EmptySourceError(InputError, ValueError):
    """The source has no header line or no data row."""

    code = "E106"


class HeaderError(InputError, ValueError):
    """The header line cannot name the columns."""

    code = "E107"


class ColumnNotFoundError(InputError, LookupError):
    """An option names a column that is not in the header."""

    code = "E108"


class TextColumnError(InputError, ValueError):
    """A column holds text and no option says what to do with it."""

    code = "E109"


class LabelError(InputError, ValueError):
    """A label is no class, or the classes are too many or too few."""

    code = "E110"


class QuoteError(InputError, ValueError):
    """A quote is not closed, or stands where none may."""

    code = "E111"


class EncodingError(InputError, ValueError):
    """The source is not UTF-8 text, or no CSV at all."""

    code = "E112"


class CompressionError(InputError, ValueError):
    """Compressed data are damaged or cut."""

    code = "E113"


class SourceChangedError(InputError):
    """The source is not what it was when the run began."""

    code = "E114"


class DelimiterError(InputError, ValueError):
    """The line is not divided by the delimiter."""

    code = "E115"


class LineTooLongError(InputError, ValueError):
    """A line is longer than any record may be."""

    code = "E116"


class TooManyRejectsError(InputError):
    """More rows were set aside than `--max-rejects` allows."""

    code = "E117"


class CategoriesError(InputError, ValueError):
    """A category has too many different values."""

    code = "E118"


class SplitError(InputError, ValueError):
    """A cell names no split, or no record is left for the train split."""

    code = "E119"


class DatasetError(PipelineError):
    """A dataset or a model is damaged or cannot be used."""

    code = "E400"
    exit_status = 4


class ManifestError(DatasetError, ValueError):
    """The manifest is missing, damaged or of an unknown version."""

    code = "E401"


class ShardError(DatasetError, ValueError):
    """A shard is missing, cut or damaged."""

    code = "E402"


class ModelError(DatasetError, ValueError):
    """A model file cannot be used, or does not fit the data."""

    code = "E403"


class DivergedError(DatasetError, ArithmeticError):
    """The loss became NaN or infinite."""

    code = "E404"


class MachineError(PipelineError):
    """The machine lacks something."""

    code = "E500"
    exit_status = 5


class MissingExtraError(MachineError, ImportError):  # type: ignore[misc]  # its `path` is wider
    """An optional dependency is not installed."""

    code = "E501"

    @classmethod
    def of(cls, module: str, extra: str) -> MissingExtraError:
        """Return the error for `module`, which the extra `extra` installs."""
        return cls(
            f"{module} is not installed",
            hint=f'pip install "csv-shard-pipeline[{extra}]"',
        )


class DiskError(MachineError, OSError):
    """The disk is full or failing."""

    code = "E502"


class MemoryBudgetError(MachineError, MemoryError):
    """The work cannot be done within the memory given."""

    code = "E503"


class AccessError(MachineError, PermissionError):
    """Permission denied."""

    code = "E504"


class DownloadError(MachineError, ConnectionError):
    """The server could not deliver."""

    code = "E505"


class ChecksumError(MachineError, ValueError):
    """The bytes received are not the bytes promised."""

    code = "E506"


class StoreError(MachineError, OSError):
    """An object store, or another reached by URL, failed."""

    code = "E507"


class WorkersLostError(MachineError, RuntimeError):
    """The processes of a cluster died, or were never there."""

    code = "E508"


class BusyError(PipelineError):
    """Another run owns the target."""

    code = "E601"
    exit_status = 6
