"""SQL on FHIR v2 ViewDefinitions (http://sql-on-fhir.org/ig/StructureDefinition-ViewDefinition.html)."""

from masterkey_fhir.views.inputs import Counts
from masterkey_fhir.views.run import ViewResult, run
from masterkey_fhir.views.view import Column, View, ViewError
from masterkey_fhir.views.write import FORMATS, write

__all__ = ["FORMATS", "Column", "Counts", "View", "ViewError", "ViewResult", "run", "write"]
