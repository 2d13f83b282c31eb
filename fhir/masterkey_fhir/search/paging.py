"""Tokens of a next page: opaque and authenticated, because a query holds data of patients (rule R18)."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

from masterkey_fhir.issue import issue
from masterkey_fhir.search.parameters import SearchError

LIFETIME = 3600  # seconds


class Tokens:
    """Seals and opens tokens with a secret of 32 bytes; without one, with a secret of this process."""

    def __init__(self, secret: bytes | None = None) -> None:
        from cryptography.fernet import Fernet

        self._fernet = Fernet(base64.urlsafe_b64encode(secret or os.urandom(32)))

    def seal(self, **content: Any) -> str:
        return self._fernet.encrypt(json.dumps(content).encode()).decode().rstrip("=")

    def open(self, token: str, **expected: str) -> dict[str, Any]:
        """The content. Raises SearchError when it is not ours, too old, or made for something else."""
        from cryptography.fernet import InvalidToken

        try:
            padded = token + "=" * (-len(token) % 4)
            content: dict[str, Any] = json.loads(self._fernet.decrypt(padded.encode(), ttl=LIFETIME))
        except InvalidToken:
            raise SearchError(issue("fhir.page-token")) from None
        if any(content.get(name) != value for name, value in expected.items()):
            raise SearchError(issue("fhir.page-token"))
        return content
