"""What the tests of faults share: a server that forks commands, and conversions to be cut short."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.forked import Forker
from support.unfinished import SCENES, Scene, make_scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def forker() -> Iterator[Forker]:
    """The server that forks a process per command."""
    with Forker() as server:
        yield server


@pytest.fixture(scope="session")
def scene_of(forker: Forker, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Scene]:
    """A maker of the scenes of `unfinished.SCENES`, each made once."""
    made: dict[str, Scene] = {}

    def scene(name: str) -> Scene:
        if name not in made:
            made[name] = make_scene(forker, tmp_path_factory.mktemp("scene"), **SCENES[name])
        return made[name]

    return scene
