"""Engines map a function over tasks, in order, and know nothing of what either means."""
