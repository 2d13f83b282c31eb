"""What a file is, by its content: container, kind, encoding, columns, codes, personal data, the model that fits.

    inspect(path) -> Inspection; its `lines()` are for people, `as_dict()` for programs

Values are never shown, only shapes and counts; texts of a small code list are, when they look like codes or are
known words (the same words that may stay in a free text) and nothing in the column looks like a person.
"""

from masterkey_etl.inspect.column import ColumnProfile
from masterkey_etl.inspect.draft import Drafted, DraftError, draft, draft_all
from masterkey_etl.inspect.inspection import Inspection, inspect, inspect_source
from masterkey_etl.inspect.kinds import Guess

__all__ = [
    "ColumnProfile",
    "DraftError",
    "Drafted",
    "Guess",
    "Inspection",
    "draft",
    "draft_all",
    "inspect",
    "inspect_source",
]
