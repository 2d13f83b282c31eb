"""A synthetic rare-cancer cohort in the sites' real layouts, with their dirt and a key of what was planted.

Own content: nothing is copied from a sample. Distributions follow published figures (`tables/`, docstring of
`cohort`), the dirt follows what was measured in real files (`dirt`). One seed gives one cohort, byte for byte.
Patients stream: memory does not grow with their number.
"""

from masterkey_etl.synth.run import SynthReport, synth

__all__ = ["SynthReport", "synth"]
