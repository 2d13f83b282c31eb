SELECT person_id, 'condition_occurrence' AS record_table,
  CAST(condition_occurrence_id AS VARCHAR(20)) AS record_id,
  CASE WHEN condition_source_value LIKE '%[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]%'
    OR condition_source_value LIKE '%[0-9]-[0-9][0-9][0-9][0-9]-[0-9][0-9][0-9][0-9]%'
    OR condition_source_value LIKE '%[0-9][0-9][0-9]-[0-9][0-9][0-9][0-9]-[0-9]%'
    OR condition_source_value LIKE '%@_%._%' THEN 1 ELSE 0 END AS violated
FROM @cdm_database_schema.condition_occurrence
WHERE condition_source_value IS NOT NULL
