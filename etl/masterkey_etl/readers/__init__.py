"""Readers: any format in, Records and Issues out."""

from masterkey_etl.readers.count import count_values
from masterkey_etl.readers.delimited import Counts, LocalFile, Readable, Reading, read, read_delimited
from masterkey_etl.readers.recognise import (
    Recognition,
    UnknownFormatError,
    recognise,
    recognise_header,
    recognitions,
)

__all__ = [
    "Counts",
    "LocalFile",
    "Readable",
    "Reading",
    "Recognition",
    "UnknownFormatError",
    "count_values",
    "read",
    "read_delimited",
    "recognise",
    "recognise_header",
    "recognitions",
]
