SELECT person_id, 'person' AS record_table, CAST(person_id AS VARCHAR(20)) AS record_id,
  CASE WHEN person_source_value IS NULL THEN 1 ELSE 0 END AS violated
FROM @cdm_database_schema.person
