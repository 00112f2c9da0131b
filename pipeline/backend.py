"""Owns the import of TensorFlow and Keras: late, quiet, with the way to install them where they are missing.

Neighbours: every module that computes with them asks here, inside the function that needs them.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from pipeline.progress import Progress


def load(progress: Progress) -> None:
    """Load TensorFlow and Keras as a stage of its own, since that takes seconds; nothing if they are loaded.

    Raises:
        MissingExtraError: one is not installed.
    """
    if sys.modules.keys() >= {"tensorflow", "keras"}:
        return
    progress.start("loading TensorFlow", total=None, unit="")
    keras()
    progress.finish()


def tensorflow() -> ModuleType:
    """Return the module `tensorflow`.

    Raises:
        MissingExtraError: it is not installed.
    """
    loaded = sys.modules.get("tensorflow")
    if loaded is not None:
        return loaded
    # Not even what it calls errors, such as the absence of a GPU: what is one is raised as an exception too.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _quiet_stderr():
        module = _import("tensorflow")
    module.get_logger().setLevel("ERROR")
    return module


def keras() -> ModuleType:
    """Return the module `keras`, on top of TensorFlow.

    Raises:
        MissingExtraError: it is not installed.
    """
    tensorflow()
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    return _import("keras")


@contextmanager
def known_warnings_ignored() -> Iterator[None]:
    """Ignore the warnings that Keras itself causes within this block; nothing of ours can mend them.

    Keras 3.15 reads its variables in a way that NumPy 2.4 calls deprecated.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning, r"keras\."
        )
        yield


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise MissingExtraError.of(name, "train") from None


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Hold back what C++ writes to standard error; show it after all if the import fails.

    TensorFlow logs the processor's features and missing GPU libraries while it is loaded, before its own
    switches work.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        kept = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except MissingExtraError:
            raise
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
