SELECT c.person_id, 'condition_occurrence' AS record_table,
  CAST(c.condition_occurrence_id AS VARCHAR(20)) AS record_id,
  CASE WHEN YEAR(c.condition_start_date) - p.year_of_birth < 0
    OR YEAR(c.condition_start_date) - p.year_of_birth > @oldest THEN 1 ELSE 0 END AS violated
FROM @cdm_database_schema.condition_occurrence c
INNER JOIN @cdm_database_schema.person p ON p.person_id = c.person_id
WHERE NOT EXISTS (
  SELECT 1 FROM masterkey.detail d
  WHERE d.table_name = 'condition_occurrence' AND d.row_id = c.condition_occurrence_id AND d.name = 'date_from'
)
