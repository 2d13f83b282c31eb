"""Maps: YAML in the shape of FHIR, compiled to Python source. The grammar is mappings/README.md.

yaml -> tree (loader) -> nodes (expressions, analysis) -> source (writer) -> resources (compiled, settle)
"""

from masterkey_etl.template.cases import CaseResult, test
from masterkey_etl.template.checking import check
from masterkey_etl.template.collector import calm_collector
from masterkey_etl.template.compiled import CompiledMap, LeafInfo, MapContext, compile_map
from masterkey_etl.template.draft import new
from masterkey_etl.template.loader import load_map
from masterkey_etl.template.tree import MapError, MapFile

__all__ = [
    "CaseResult", "CompiledMap", "LeafInfo", "MapContext", "MapError", "MapFile",
    "calm_collector", "check", "compile_map", "load_map", "new", "test",
]  # fmt: skip
