"""Owns what people hand over by mistake in place of a CSV, told by its first bytes.

Each of these would fail as a CSV sooner or later, with a message that explains nothing. Neighbour: `sniff`
asks, with the beginning of the uncompressed text.
"""

from __future__ import annotations

import re

from pipeline.errors import EncodingError

PAGE = "the download gave a web page in place of the file"
UNPACK = "unpack it: gzip, zstd, bzip2 and xz are read as they are, nothing else is"
UTF16 = "convert it: iconv -f UTF-16 -t UTF-8"

# (what it begins with, what that is, what to do). No pattern fits a line of column names.
FOREIGN: tuple[tuple[bytes, str, str], ...] = (
    (rb"PAR1[\x00-\x08\x0e-\x1f]", "a Parquet file", "a CSV is wanted; Parquet needs no conversion of text"),
    (rb"ARROW1\x00", "an Arrow file", "a CSV is wanted"),
    (rb"FEA1\x00", "a Feather file", "a CSV is wanted"),
    (rb"ORC.{0,6}[\x00-\x08\x0e-\x1f]", "an ORC file", "a CSV is wanted"),
    (rb"Obj\x01", "an Avro file", "a CSV is wanted"),
    (rb"\x89HDF", "an HDF5 file", "a CSV is wanted"),
    (rb"\x93NUMPY", "a NumPy array", "save it as text: numpy.savetxt"),
    (rb"\x80[\x02-\x05]", "a pickle", "a CSV is wanted"),
    (rb"SQLite format 3\x00", "an SQLite database", "export the table: sqlite3 -csv -header"),
    (rb"PK\x03\x04.{26}(?:\[Content_Types|_rels/|xl/|docProps/)", "a spreadsheet", "save the sheet as CSV"),
    (rb"\xd0\xcf\x11\xe0", "a spreadsheet", "save the sheet as CSV"),
    (rb"PK\x03\x04", "a zip archive or a spreadsheet", "unpack it, or save the sheet as CSV"),
    (rb".{257}ustar", "a tar archive", "unpack it: tar -xf"),
    (rb"(?:7z\xbc\xaf|Rar!\x1a|\x1f\x9d|\x04\x22\x4d\x18|LZIP\x01)", "an archive", UNPACK),
    (
        rb"(?:\x1f\x8b\x08|\x28\xb5\x2f\xfd|BZh[1-9]1AY|\xfd7zXZ)",
        "data that were compressed twice",
        "unpack it once",
    ),
    (rb"%PDF-", "a PDF", "a CSV is wanted"),
    (rb"version https://git-lfs", "a git-lfs pointer", "fetch the real file: git lfs pull"),
    (rb"(?:outs:\s*- |- )?(?:md5|hash): [0-9a-z]+\s*\n", "a DVC pointer", "fetch the real file: dvc pull"),
    (rb"outs:\s*\n- ", "a DVC pointer", "fetch the real file: dvc pull"),
    (rb"\s*<(?:!doctype|html|head|script|!--)", "an HTML page", PAGE),
    (rb"\s*<(?:\?xml|error>)", "XML", PAGE),
    (rb"\s*(?:\{\s*\"|\[\s*\{)", "JSON", "write the records as CSV"),
    (rb"\xff\xfe\x00\x00|\x00\x00\xfe\xff", "UTF-32 text", "convert it: iconv -f UTF-32 -t UTF-8"),
    (rb"\xff\xfe|\xfe\xff", "UTF-16 text", UTF16),
    (rb"(?:[\t\n\r -~]\x00){8}|(?:\x00[\t\n\r -~]){8}", "UTF-16 text", UTF16),
)


def check_text(head: bytes) -> None:
    """Raise if `head`, the first bytes of a file without its byte-order mark, is known for something else.

    Raises:
        EncodingError: it is, and what it looks like.
    """
    for pattern, name, hint in FOREIGN:
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            raise EncodingError(f"looks like {name}", hint=hint)
