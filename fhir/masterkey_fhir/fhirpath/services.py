"""What an expression may ask of the world: protocols, filled by whoever has the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


class Resolver(Protocol):
    def resolve(self, reference: str) -> dict[str, Any] | None:
        """The resource a reference string points to; None when it can't be found."""


class Terminology(Protocol):
    def member_of(self, value_set: str, system: str | None, code: str) -> bool | None:
        """Whether a code is in a value set; None when the value set is not known."""


class Profiles(Protocol):
    def conforms_to(self, resource: dict[str, Any], profile: str) -> bool | None:
        """Whether a resource obeys a profile; None when the profile is not known."""


@dataclass(frozen=True, slots=True)
class Services:
    """Each may be missing: the function that needs it then gives empty, or says what it lacks."""

    resolver: Resolver | None = None
    terminology: Terminology | None = None
    profiles: Profiles | None = None
