"""Readers: any format in, Records and Issues out."""

from masterkey_etl.readers.delimited import Counts, LocalFile, Readable, Reading, read, read_delimited
from masterkey_etl.readers.kinds import (
    Candidate,
    RecordReading,
    count_values,
    read_delivery,
    recognise,
    recognitions,
)
from masterkey_etl.readers.recognise import Recognition, UnknownFormatError, recognise_header

__all__ = [
    "Candidate",
    "Counts",
    "LocalFile",
    "Readable",
    "Reading",
    "Recognition",
    "RecordReading",
    "UnknownFormatError",
    "count_values",
    "read",
    "read_delimited",
    "read_delivery",
    "recognise",
    "recognise_header",
    "recognitions",
]
