"""Storage: where bytes are, how files appear whole, how a folder becomes a dataset. Knows no format.

paths         a local path or a URL, used alike
reads         any bytes of a file, of many at once, or all as they stream by
files         files that appear whole: aside, fsync, rename; or an upload that completes
publication   the folder beside the target, and how it becomes the target
store         the same in an object store
lock          one process at a time
exchange      two folders change their names at once
"""

from pipeline.storage.files import HEAD_BYTES, HashedFile, fsync_directory, write_text
from pipeline.storage.paths import system_errors_told
from pipeline.storage.publication import Staging, check_target, staging

__all__ = [
    "HEAD_BYTES",
    "HashedFile",
    "Staging",
    "check_target",
    "fsync_directory",
    "staging",
    "system_errors_told",
    "write_text",
]
