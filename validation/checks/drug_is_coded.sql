SELECT person_id, 'drug_exposure' AS record_table, CAST(drug_exposure_id AS VARCHAR(20)) AS record_id,
  CASE WHEN drug_concept_id IN (@values) THEN 1 ELSE 0 END AS violated
FROM @cdm_database_schema.drug_exposure
WHERE drug_concept_id IS NOT NULL
