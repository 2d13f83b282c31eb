SELECT person_id, 'death' AS record_table, CAST(person_id AS VARCHAR(20)) AS record_id,
  CASE WHEN ISNULL(cause_concept_id, 0) = 0 AND cause_source_value IS NULL THEN 1 ELSE 0 END AS violated
FROM @cdm_database_schema.death
