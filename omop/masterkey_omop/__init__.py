"""OMOP CDM 5.4: schema, keys, vocabulary, publication and OHDSI-SQL."""
