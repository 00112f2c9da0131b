"""The command `pipeline train`."""

from __future__ import annotations

import click


@click.command("train")
def train_command() -> None:
    """Train."""
