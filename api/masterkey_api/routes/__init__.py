"""The routes of the FHIR API. Thin: what a request means is decided in masterkey_fhir (bundle, search).

`INTERACTIONS` is the one list that both registers the routes and writes the CapabilityStatement.
"""

from masterkey_api.routes.interactions import INTERACTIONS, Interaction, routes

__all__ = ["INTERACTIONS", "Interaction", "routes"]
