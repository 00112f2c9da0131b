"""Shard formats: each module writes and reads one, with the same functions and its `EXTENSION`."""
