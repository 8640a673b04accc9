"""Files on this machine: which path a URI names, and files that appear whole or not at all."""

from rv_core.local_files._atomic import AtomicWriter, open_for_writing
from rv_core.local_files._copying import copy_into
from rv_core.local_files._failures import failures, is_folder, storage_error
from rv_core.local_files._part_writer import PartWriter
from rv_core.local_files._parts import is_part, names_that_fold, part_name, sweep
from rv_core.local_files._paths import is_file_uri, is_local, path_of, quote, unquote, uri_of
from rv_core.local_files._reading import open_for_reading
from rv_core.local_files._walking import walk

__all__ = [
    "AtomicWriter",
    "PartWriter",
    "copy_into",
    "failures",
    "is_file_uri",
    "is_folder",
    "is_local",
    "is_part",
    "names_that_fold",
    "open_for_reading",
    "open_for_writing",
    "part_name",
    "path_of",
    "quote",
    "storage_error",
    "sweep",
    "unquote",
    "uri_of",
    "walk",
]
