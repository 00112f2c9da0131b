"""The recipes of docs/scaling.md for clusters that are not here: what of them runs on one machine, runs.

Of Slurm a stand-in is enough: `sbatch` that starts a job's script at once. Of Kubernetes it is the commands
of the containers, in the environment that Dask's operator gives them. The rest is theirs.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pipeline.fetch import fetch_simulated
from support.clusters import command_environment, end
from support.command import run_process
from support.datasets import Dataset
from support.documents import document, fenced
from support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

SCALING = document("docs/scaling.md")
BIN = Path(sys.executable).parent
# Keeps a copy of a job's script, as Slurm does, and starts it in a process group of its own.
SBATCH = """\
#!/bin/sh
cp "$1" "$JOBS/script-$$"
setsid sh "$JOBS/script-$$" > "$JOBS/log" 2>&1 &
echo "$!" > "$JOBS/$!"
echo "Submitted batch job $!"
"""
SCANCEL = """\
#!/bin/sh
for job in "$@"; do kill -TERM "-$job"; done
"""
# For one machine: what the recipe for Slurm has, and what stands in its place.
SMALLER = {
    "cores=8": "cores=2",
    "processes=8": "processes=2",
    'memory="40GiB"': 'memory="4GiB"',
    'interface="ib0"': (
        'interface="lo", scheduler_options={"dashboard": False}, worker_extra_args=["--no-dashboard"]'
    ),
    "cluster.scale(64)": "cluster.scale(2)",
    "print(cluster.scheduler_address)": "print(cluster.scheduler_address, flush=True)",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of 3,000 simulated records."""
    path = tmp_path_factory.mktemp("recipes") / "source.csv"
    fetch_simulated(path, num_records=3000, seed=1)
    return path


def check_conversion(source: Path, folder: Path, scheduler: str) -> None:
    """Convert as the recipes do, on the cluster there, and expect the bytes of the local engine."""
    made = {}
    for name, options in {
        "local": (),
        "cluster": ("--engine", "dask", "--scheduler", scheduler, "--workers", "2", "--memory", "1GiB"),
    }.items():
        outcome = run_process("convert", source, name, *options, cwd=folder)
        assert outcome.status == 0, outcome.stderr
        made[name] = Dataset(folder=folder / name).file_bytes()
    assert made["cluster"] == made["local"]


def test_the_recipe_for_slurm(source: Path, tmp_path: Path) -> None:
    """Its script, smaller and on the loopback: jobs are submitted, convert, and are cancelled at the end."""
    [recipe] = [code for code in fenced(SCALING, "python") if "SLURMCluster" in code]
    for theirs, ours in SMALLER.items():
        assert theirs in recipe
        recipe = recipe.replace(theirs, ours)
    (tmp_path / "cluster.py").write_text(recipe, encoding="utf-8")
    programs, jobs = tmp_path / "bin", tmp_path / "jobs"
    for folder in (programs, jobs):
        folder.mkdir()
    for name, text in {"sbatch": SBATCH, "scancel": SCANCEL}.items():
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    path = os.pathsep.join([str(programs), str(BIN), os.environ["PATH"]])
    with subprocess.Popen(
        [sys.executable, "cluster.py"],
        cwd=tmp_path,
        encoding="utf-8",
        env=command_environment() | {"PATH": path, "JOBS": str(jobs)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as cluster:
        assert cluster.stdin is not None
        assert cluster.stdout is not None
        try:
            address = cluster.stdout.readline().strip()
            assert address.startswith("tcp://127.0.0.1:")
            check_conversion(source, tmp_path, address)
            cluster.stdin.write("\n")
            cluster.stdin.close()
            assert cluster.wait(60) == 0
        finally:
            cluster.kill()
            started = [int(path.name) for path in jobs.iterdir() if path.name.isdigit()]
            for job in started:
                with suppress(ProcessLookupError):
                    os.killpg(job, signal.SIGKILL)
    assert len(started) == 1  # both workers are one job


@contextmanager
def container(given: dict[str, Any], *more: str, **environment: str) -> Iterator[None]:
    """Run the command of a container as Kubernetes would: `$(NAME)` is a variable."""
    environment |= {variable["name"]: variable["value"] for variable in given.get("env", [])}
    words = [re.sub(r"\$\((\w+)\)", lambda found: environment[found[1]], str(word)) for word in given["args"]]
    process = subprocess.Popen(
        [str(BIN / words[0]), *words[1:], *more],
        env=command_environment() | environment,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        end(process)


def test_the_recipe_for_kubernetes(source: Path, tmp_path: Path) -> None:
    """The commands of its containers make a cluster that converts; its parts name each other as they must."""
    [text] = fenced(SCALING, "yaml")
    tree = yaml.safe_load(text)
    assert (tree["apiVersion"], tree["kind"]) == ("kubernetes.dask.org/v1", "DaskCluster")
    cluster, service = tree["metadata"]["name"], tree["spec"]["scheduler"]["service"]
    assert service["selector"] == {"dask.org/cluster-name": cluster, "dask.org/component": "scheduler"}
    [scheduler] = tree["spec"]["scheduler"]["spec"]["containers"]
    [worker] = tree["spec"]["worker"]["spec"]["containers"]
    assert service["ports"][0]["targetPort"] == scheduler["ports"][0]["name"]
    assert f"--scheduler tcp://{cluster}-scheduler:{service['ports'][0]['port']} " in SCALING
    [port] = free_ports(1)
    address = f"tcp://127.0.0.1:{port}"
    here = ("--host", "127.0.0.1", "--no-dashboard")
    with (
        container(scheduler, *here, "--port", str(port)),
        container(worker, *here, DASK_WORKER_NAME="first", DASK_SCHEDULER_ADDRESS=address),
        container(worker, *here, DASK_WORKER_NAME="second", DASK_SCHEDULER_ADDRESS=address),
    ):
        check_conversion(source, tmp_path, address)
