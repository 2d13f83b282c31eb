"""FHIRPath N1 2.0.0 (http://hl7.org/fhirpath/N1/) over FHIR R4 JSON: one parser, one tree, closures."""

from masterkey_fhir.fhirpath.errors import FhirPathError
from masterkey_fhir.fhirpath.parser import parse

__all__ = ["FhirPathError", "parse"]
