"""Maps: YAML in the shape of FHIR, compiled to Python source. The grammar is mappings/README.md.

    yaml -> tree (loader) -> nodes (expressions, analysis) -> source (writer) -> resources (compiled, settle)
"""

from masterkey_etl.template.compiled import CompiledMap, LeafInfo, MapContext, compile_map
from masterkey_etl.template.loader import load_map
from masterkey_etl.template.tree import MapError, MapFile

__all__ = ["CompiledMap", "LeafInfo", "MapContext", "MapError", "MapFile", "compile_map", "load_map"]
