"""The faces: the FHIR API, the command line."""
