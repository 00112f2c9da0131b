"""Columns: clean names, roles from options, and what each becomes in a shard."""

from __future__ import annotations

import pytest

from pipeline.errors import ColumnNotFoundError, HeaderError, OptionError, TextColumnError
from pipeline.schema import RoleOptions, assign_roles, build_schema, clean_names

NAMES = ("label", "f0", "f1", "id", "w")


def test_names_lose_their_padding_and_the_comment_mark() -> None:
    """Blanks around names and the '#' of the first one are no part of them; a '#' elsewhere is."""
    assert clean_names(["# label", " f0", "mass ", "#jets"]) == ("label", "f0", "mass", "#jets")
    assert clean_names(["#label"]) == ("label",)


def test_empty_and_duplicate_names_are_listed_with_their_places() -> None:
    """All faulty names are told at once, counted from 1."""
    with pytest.raises(HeaderError, match="column 2, 4 of the header has no name"):
        clean_names(["a", " ", "b", ""])
    with pytest.raises(HeaderError, match="'a' in columns 1, 3; 'b' in columns 2, 4, 5"):
        clean_names(["a", "b", "a", " b", "b "])


def test_roles_follow_the_options() -> None:
    """Named columns get their role, all others are features, in the order of the header."""
    options = RoleOptions(label="f1", weight="w", drop=("f0",), keep=("id",))
    assert assign_roles(NAMES, options) == {
        "label": "feature",
        "f0": "drop",
        "f1": "label",
        "id": "keep",
        "w": "weight",
    }


@pytest.mark.parametrize("name", ["label", "target"])
def test_the_label_is_found_by_its_name(name: str) -> None:
    """Without --label, a column called label or target is it; label comes first."""
    assert assign_roles(["a", name], RoleOptions())[name] == "label"
    assert assign_roles(["target", "label"], RoleOptions()) == {"target": "feature", "label": "label"}


def test_without_a_label_the_columns_are_listed() -> None:
    """Where no column can be the label, the names there are and the option are told."""
    with pytest.raises(ColumnNotFoundError, match="the columns are a, b") as caught:
        assign_roles(["a", "b"], RoleOptions())
    assert "--label" in caught.value.hint
    with pytest.raises(ColumnNotFoundError, match=r"f11, … \(40 in all\)"):
        assign_roles([f"f{index}" for index in range(40)], RoleOptions())


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        (RoleOptions(label="lable"), "--label lable"),
        (RoleOptions(weight="lable"), "--weight lable"),
        (RoleOptions(drop=("f0", "lable")), "--drop lable"),
        (RoleOptions(keep=("lable",)), "--keep lable"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(options: RoleOptions, flag: str) -> None:
    """A misspelt name is told with its option and the name that may have been meant."""
    with pytest.raises(ColumnNotFoundError, match=f"{flag}: no such column") as caught:
        assign_roles(NAMES, options)
    assert caught.value.hint == "did you mean 'label'?"


def test_one_column_has_one_role() -> None:
    """A column named by two options is an error that names both; named twice by one it is not."""
    with pytest.raises(OptionError, match="'f0' is named by --drop and by --keep"):
        assign_roles(NAMES, RoleOptions(drop=("f0",), keep=("f0",)))
    with pytest.raises(OptionError, match="'label' is named by --label and by --drop"):
        assign_roles(NAMES, RoleOptions(drop=("label",)))
    assert assign_roles(NAMES, RoleOptions(drop=("f0", "f0")))["f0"] == "drop"


def test_a_feature_must_be_left() -> None:
    """Dropping or keeping everything but the label leaves nothing to learn from."""
    with pytest.raises(OptionError, match="no feature"):
        assign_roles(["label", "a"], RoleOptions(drop=("a",)))


def test_columns_become_what_their_role_asks_for() -> None:
    """Features and weights are float32, class labels int64, kept columns what they were."""
    roles = assign_roles(("label", "f0", "w", "i", "x", "t"), RoleOptions(weight="w", keep=("i", "x", "t")))
    readings = {"label": "text", "f0": "integer", "w": "integer", "i": "integer", "x": "number", "t": "text"}
    schema = build_schema(roles, readings, label_kind="classes")  # type: ignore[arg-type]  # literals
    assert {column.name: column.dtype("classes") for column in schema.columns} == {
        "label": "int64",
        "f0": "float32",
        "w": "float32",
        "i": "int64",
        "x": "float64",
        "t": "string",
    }
    assert schema.label.dtype("number") == "float64"
    # What is computed with is read as a double, an identifier as the integer it is.
    assert {column.name: column.reading for column in schema.columns} == {
        "label": "text",
        "f0": "number",
        "w": "number",
        "i": "integer",
        "x": "number",
        "t": "text",
    }


def test_the_views_keep_the_order_of_the_header() -> None:
    """Features, used columns and names come in the order of the CSV."""
    roles = assign_roles(("b", "label", "d", "a"), RoleOptions(drop=("d",)))
    schema = build_schema(roles, dict.fromkeys(roles, "number"), label_kind="classes")
    assert schema.names == ("b", "label", "d", "a")
    assert [column.name for column in schema.used] == ["b", "label", "a"]
    assert [column.name for column in schema.features] == ["b", "a"]
    assert schema.label.name == "label"
    assert schema.weight is None


@pytest.mark.parametrize("options", [RoleOptions(), RoleOptions(weight="t")])
def test_a_text_column_is_named_with_the_options_that_help(options: RoleOptions) -> None:
    """Text that is a feature or the weight is an error; its hint can be pasted."""
    roles = assign_roles(("label", "a", "t"), options)
    readings = {"label": "integer", "a": "number", "t": "text"}
    with pytest.raises(TextColumnError) as caught:
        build_schema(roles, readings, label_kind="classes")  # type: ignore[arg-type]  # literals
    assert caught.value.column == "t"
    assert "--drop t" in caught.value.hint
    assert "--keep t" in caught.value.hint


@pytest.mark.parametrize(
    "options", [RoleOptions(drop=("t",)), RoleOptions(keep=("t",)), RoleOptions(label="t")]
)
def test_text_may_be_dropped_kept_or_the_label(options: RoleOptions) -> None:
    """Text in any other role is fine."""
    roles = assign_roles(("label", "a", "t"), options)
    readings = {"label": "integer", "a": "number", "t": "text"}
    assert build_schema(roles, readings, label_kind="classes").names == ("label", "a", "t")  # type: ignore[arg-type]  # literals


def test_a_name_of_two_words_can_be_pasted() -> None:
    """The hint quotes a name that a shell would take for two."""
    readings = {"label": "integer", "last visit": "text"}
    with pytest.raises(TextColumnError) as caught:
        build_schema(assign_roles(tuple(readings), RoleOptions()), readings, label_kind="classes")  # type: ignore[arg-type]  # literals
    assert "--categorical 'last visit'" in caught.value.hint
