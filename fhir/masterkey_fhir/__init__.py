"""FHIR R4 4.0.1: Issues, FHIRPath, views, checks, the repository and the exchange of bundles."""
