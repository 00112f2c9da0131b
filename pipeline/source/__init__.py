"""Source files → record-aligned ranges → parsed records.

`files` opens and recognises, `sniff` reads header and first records, `ranges` cuts the text, `fast` parses a
range with Polars, and where that cannot be trusted `careful` parses it again cell by cell. Nothing outside
this folder reads CSV, and nothing in it knows of keys, runs or shards.
"""
