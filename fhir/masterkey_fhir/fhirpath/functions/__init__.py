"""The functions of FHIRPath, one module per section of N1; each offers a table name -> Function."""

from masterkey_fhir.fhirpath.functions import (
    collections,
    conversions,
    fhir,
    lambdas,
    maths,
    reflection,
    strings,
    utility,
)
from masterkey_fhir.fhirpath.functions.base import Function

FUNCTIONS: dict[str, Function] = {
    **collections.FUNCTIONS,
    **lambdas.FUNCTIONS,
    **strings.FUNCTIONS,
    **maths.FUNCTIONS,
    **conversions.FUNCTIONS,
    **reflection.FUNCTIONS,
    **utility.FUNCTIONS,
    **fhir.FUNCTIONS,
}
