"""FHIRPath N1 2.0.0 (http://hl7.org/fhirpath/N1/) over FHIR R4 JSON: one parser, one tree, closures."""

from masterkey_fhir.fhirpath.errors import FhirPathError
from masterkey_fhir.fhirpath.expression import Expression, compile
from masterkey_fhir.fhirpath.parser import parse
from masterkey_fhir.fhirpath.services import Profiles, Resolver, Services, Terminology
from masterkey_fhir.fhirpath.values import Date, DateTime, Quantity, Time

__all__ = [
    "Date",
    "DateTime",
    "Expression",
    "FhirPathError",
    "Profiles",
    "Quantity",
    "Resolver",
    "Services",
    "Terminology",
    "Time",
    "compile",
    "parse",
]
