"""Fixtures that all tests share, and the profiles of Hypothesis: small by default, `long` on demand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from support import trained
from support.command import Command

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.trained import Made

# No deadline: the machines are shared. No database: the examples of a run depend on its code alone.
settings.register_profile(
    "small",
    max_examples=25,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("long", settings.get_profile("small"), max_examples=1000, derandomize=False)


def pytest_configure(config: pytest.Config) -> None:
    """Load the small profile unless the command line names one."""
    if not config.getoption("--hypothesis-profile", default=None):
        settings.load_profile("small")


@pytest.fixture
def pipeline_command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """The command line, run within this process."""
    return Command(monkeypatch, capfd)


@pytest.fixture(scope="module")
def fresh_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """A maker of paths that do not exist yet: one for each conversion of a test."""
    base = tmp_path_factory.mktemp("fresh")
    made: list[Path] = []

    def make() -> Path:
        made.append(base / str(len(made)))
        return made[-1]

    return make


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A model of two classes, and its dataset in both formats; to be read and never changed."""
    columns = trained.two_classes()
    made = trained.make_dataset(
        tmp_path_factory.mktemp("two") / "t", columns, formats=("parquet", "tfrecord")
    )
    return trained.trained(made)


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A model of four classes, with weights; to be read and never changed."""
    folder = tmp_path_factory.mktemp("many") / "t"
    return trained.trained(trained.make_dataset(folder, trained.many_classes(), weight="w"))


@pytest.fixture(scope="session")
def number(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A model of a number; to be read and never changed."""
    folder = tmp_path_factory.mktemp("number") / "t"
    return trained.trained(trained.make_dataset(folder, trained.quantity(), label_kind="number"))


@pytest.fixture(scope="session")
def real_samples() -> Path:
    """The folder of real files beside the repository; tests that want them are skipped elsewhere."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "real"
    if not folder.is_dir():
        pytest.skip("the real samples are not beside this checkout")
    return folder
