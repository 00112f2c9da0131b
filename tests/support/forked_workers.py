"""What the workers of a local cluster are like, told by themselves; as a program it prints that as JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from pipeline.convert.cluster_tasks import prepare
from pipeline.engine.clusters import load_ahead, local_cluster


def oneself() -> dict[str, Any]:
    """Return what a worker sees of itself and of the process it was forked from."""
    parent = Path(f"/proc/{os.getppid()}")
    # Of Polars the library is in _polars_runtime_32/, or in polars/.
    libraries = (parent / "maps").read_text(encoding="utf-8").replace("_", "/")
    return {
        "process": os.getpid(),
        "parent": os.getppid(),
        "threads": sorted(
            (task / "comm").read_text(encoding="utf-8").strip() for task in (parent / "task").iterdir()
        ),
        "loaded": [name for name in ("numpy", "pyarrow", "polars") if f"/{name}/" in libraries],
        "has_polars": "polars" in sys.modules,
        "environment": {
            name: os.environ.get(name) for name in ("POLARS_MAX_THREADS", "MALLOC_TRIM_THRESHOLD_")
        },
    }


def main() -> None:
    """Start two workers and let them tell."""
    before = dict(os.environ)
    load_ahead(prepare.__module__)
    kept = before == dict(os.environ)
    with local_cluster(2, name="test", prepare=prepare) as engine:
        found = engine.of_workers(oneself)
    json.dump({"client": os.getpid(), "environment kept": kept, "workers": found}, sys.stdout)


if __name__ == "__main__":
    main()
