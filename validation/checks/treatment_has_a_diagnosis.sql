SELECT d.person_id, 'drug_exposure' AS record_table, CAST(d.drug_exposure_id AS VARCHAR(20)) AS record_id,
  CASE WHEN c.person_id IS NULL THEN 1 ELSE 0 END AS violated
FROM @cdm_database_schema.drug_exposure d
LEFT JOIN (SELECT DISTINCT person_id FROM @cdm_database_schema.condition_occurrence) c
  ON c.person_id = d.person_id
