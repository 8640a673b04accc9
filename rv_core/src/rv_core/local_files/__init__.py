"""Files on this machine: which path a URI names, and files that appear whole or not at all."""

from rv_core.local_files._atomic import AtomicWriter, is_part, open_for_writing
from rv_core.local_files._failures import failures, is_folder, storage_error
from rv_core.local_files._paths import is_file_uri, is_local, path_of, quote, uri_of

__all__ = [
    "AtomicWriter",
    "failures",
    "is_file_uri",
    "is_folder",
    "is_local",
    "is_part",
    "open_for_writing",
    "path_of",
    "quote",
    "storage_error",
    "uri_of",
]
