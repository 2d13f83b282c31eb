"""A synthetic rare-cancer cohort in the sites' real layouts, with their dirt and a key of what was planted.

Own content: nothing is copied from a sample. Distributions follow published figures (`tables/`, docstring of
`cohort`), the dirt follows what was measured in real files. One seed gives one cohort, byte for byte.
Patients stream: memory does not grow with their number.

layouts   name -> what writes a site's files: ccat_files (CSV, XLSX), registry (workbook, REDCap), cats, foundationone
key       one line per planted fault, with the rule that must tell of it
score     the key against the Issues of the workspace that loaded the cohort
"""

from masterkey_etl.synth.layouts import LAYOUTS
from masterkey_etl.synth.run import SynthReport, synth

__all__ = ["LAYOUTS", "SynthReport", "synth"]
