"""Concepts: the minimal bindings that our maps name, or the site's own Athena bundle.

Without a bundle only `omop/spec/bindings.csv` answers, and what it does not hold is unmapped (0). No Python
code and no map writes a concept id: they say (vocabulary, code) or the name of a binding.
"""

from __future__ import annotations

from masterkey_omop.vocabulary.athena import BundleReport, load_bundle
from masterkey_omop.vocabulary.bindings import Binding, Concept, bindings, local_concepts
from masterkey_omop.vocabulary.concepts import BINDINGS_VERSION, NO_CONCEPT, Vocabulary, VocabularyError, load

__all__ = [
    "BINDINGS_VERSION",
    "NO_CONCEPT",
    "Binding",
    "BundleReport",
    "Concept",
    "Vocabulary",
    "VocabularyError",
    "bindings",
    "load",
    "load_bundle",
    "local_concepts",
]
