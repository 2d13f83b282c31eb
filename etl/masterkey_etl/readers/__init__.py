"""Readers: any format in, Records and Issues out."""

from masterkey_etl.readers.count import count_values
from masterkey_etl.readers.delimited import Counts, LocalFile, Readable, Reading, read
from masterkey_etl.readers.recognise import Recognition, recognise, recognise_file

__all__ = [
    "Counts",
    "LocalFile",
    "Readable",
    "Reading",
    "Recognition",
    "count_values",
    "read",
    "recognise",
    "recognise_file",
]
