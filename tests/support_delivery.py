"""A delivery out of memory, for readers."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass
class Bytes:
    """What `masterkey_etl.readers` take as a Readable."""

    data: bytes
    scratch: Path | None = None

    def open(self) -> BinaryIO:
        return io.BytesIO(self.data)

    def pseudonym(self, *key: str) -> str:
        return f"p{len(''.join(key))}"
