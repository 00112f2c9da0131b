"""CSV in, training-ready shards out. See docs/design.md for the journey of a record."""
