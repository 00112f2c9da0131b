"""A repository of its own with the stages of ours, at a scale that takes seconds."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support.documents import ROOT, run_script

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PROJECT_FILES = [
    "dvc.yaml",
    "params.yaml",
    ".dvcignore",
    ".gitignore",
    ".dvc/config",
    ".dvc/.gitignore",
    ".dvc/plots/confusion_records.json",
    "data/.gitignore",
]
SMALL = {"rows: 200000": "rows: 2000", "500,400,300,200,100": "8", "epochs: 10": "epochs: 2"}


def make_project(folder: Path, parameters: Mapping[str, str]) -> Path:
    """Make `folder` a repository with our stages; texts in params.yaml are replaced as `parameters` says."""
    for name in PROJECT_FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    text = (folder / "params.yaml").read_text(encoding="utf-8")
    for full, small in parameters.items():
        assert full in text
        text = text.replace(full, small)
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    run_script("git init -q && git add -A && git commit -qm begin", folder)
    return folder


@contextmanager
def own_settings(folder: Path) -> Iterator[None]:
    """Neither settings of whoever runs the tests have a say, nor do the tests leave traces among them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR"):
            patch.setenv(name, str(folder / name))
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
            patch.setenv(f"{name}_NAME", "t")
            patch.setenv(f"{name}_EMAIL", "t@t")
        yield
