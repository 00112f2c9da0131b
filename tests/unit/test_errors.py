"""Every error has its code, its exit status, its place in the tree, and survives pickling."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from pipeline import errors
from pipeline.errors import MissingExtraError, PipelineError, nearest

CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, PipelineError) and kind.__module__ == errors.__name__
]
BRANCHES = [kind for kind in CLASSES if PipelineError in kind.__bases__ or kind is PipelineError]
LEAVES = [kind for kind in CLASSES if kind not in BRANCHES or kind is errors.BusyError]
EXIT_STATUS = {"1": 3, "2": 2, "4": 4, "5": 5, "6": 6}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_no_field_is_lost_in_a_pickle(kind: type[PipelineError]) -> None:
    """An error that crosses processes arrives with message, hint, path, line and column."""
    error = kind("found a, expected b", hint="do c", path="raw.csv", line=7, column="mass")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301  # our own bytes
        assert type(again) is kind
        assert (again.message, again.hint, again.path, again.line, again.column) == (
            "found a, expected b",
            "do c",
            "raw.csv",
            7,
            "mass",
        )
        assert str(again) == str(error)


def test_codes_are_unique_and_stable_in_their_branch() -> None:
    """No two classes share a code, and the first digit of a code says the exit status."""
    codes = [kind.code for kind in CLASSES]
    assert len(set(codes)) == len(codes)
    for kind in LEAVES:
        assert re.fullmatch(r"E[1-6]\d\d", kind.code)
        assert kind.exit_status == EXIT_STATUS[kind.code[1]]


def test_the_drawn_tree_is_the_tree() -> None:
    """The docstring draws every class with its code, and nothing that is not there."""
    drawn = dict(re.findall(r"[├└]── (\w+) +(E\d\d\d|E\dxx)", errors.__doc__ or ""))
    assert {name for name, code in drawn.items() if not code.endswith("xx")} == {
        kind.__name__ for kind in LEAVES
    }
    for kind in LEAVES:
        assert drawn[kind.__name__] == kind.code


def test_branches_are_drawn_with_their_exit_status() -> None:
    """Each branch of the drawing ends in the status the command exits with."""
    for name, status in re.findall(r"[├└]── (\w+) +E\w+ .* (\d)$", errors.__doc__ or "", re.MULTILINE):
        assert getattr(errors, name).exit_status == int(status)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_says_what_it_means(kind: type[PipelineError]) -> None:
    """Every error has a docstring of its own."""
    assert kind.__doc__
    assert kind.__doc__ != Exception.__doc__


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("OptionError", ValueError),
        ("TargetExistsError", FileExistsError),
        ("SourceNotFoundError", FileNotFoundError),
        ("NotANumberError", ValueError),
        ("ColumnNotFoundError", LookupError),
        ("ManifestError", ValueError),
        ("DivergedError", ArithmeticError),
        ("MissingExtraError", ImportError),
        ("DiskError", OSError),
        ("MemoryBudgetError", MemoryError),
        ("AccessError", PermissionError),
        ("DownloadError", ConnectionError),
    ],
)
def test_errors_are_also_the_builtin_they_resemble(name: str, builtin: type[Exception]) -> None:
    """Who catches the built-in error catches ours."""
    with pytest.raises(builtin, match="message"):
        raise getattr(errors, name)("message")


def test_place_comes_before_message() -> None:
    """An error reads: file, line, column, then what was found."""
    assert str(errors.NotANumberError("found 'x'", path="a.csv", line=3, column="f1")) == (
        "a.csv:3: column 'f1': found 'x'"
    )
    assert str(errors.NotANumberError("found 'x'", column="f1")) == "column 'f1': found 'x'"
    assert str(errors.EmptySourceError("no rows", path="a.csv")) == "a.csv: no rows"
    assert str(errors.OptionError("no")) == "no"


def test_a_missing_extra_says_what_to_install() -> None:
    """The hint is the command that installs what is missing."""
    error = MissingExtraError.of("tensorflow", "train")
    assert str(error) == "tensorflow is not installed"
    assert error.hint == 'pip install "csv-shard-pipeline[train]"'


def test_the_nearest_names_are_suggested() -> None:
    """Typing errors and wrong cases find the name that was meant; unrelated names find nothing."""
    assert nearest("lable", ["mass", "label", "f0"]) == "did you mean 'label'?"
    assert nearest("MASS", ["mass", "label"]) == "did you mean 'mass'?"
    assert nearest("jet_pt", ["mass", "jet_pT1", "jet"]) == "did you mean 'jet_pT1' or 'jet'?"
    assert nearest("zzz", ["mass", "label"]) == ""
