SELECT p.person_id, 'person' AS record_table, CAST(p.person_id AS VARCHAR(20)) AS record_id,
  CASE WHEN c.person_id IS NULL THEN 1 ELSE 0 END AS violated
FROM @cdm_database_schema.person p
LEFT JOIN (SELECT DISTINCT person_id FROM @cdm_database_schema.condition_occurrence) c
  ON c.person_id = p.person_id
