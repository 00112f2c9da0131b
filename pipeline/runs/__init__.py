"""Sorted runs: an external-memory shuffle, as a sort by random key.

    byte range ──sort──▶ Run in memory ──memory full──▶ several Runs merged cell by cell into one file
                             └───────────────┬───────────────┘
                                     ranks [begin, end) gathered from all of them

`run` is the value, `spilled` the file, `store` decides what stays in memory, `ranks` gathers. The key space
is divided into equal cells, each holding about a row group of all records: the unit in which runs are spilled
and gathered. Nothing here knows CSV or formats, and how records are spread over runs never changes what is
gathered.
"""
