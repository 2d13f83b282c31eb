SELECT person_id, 'measurement' AS record_table, CAST(measurement_id AS VARCHAR(20)) AS record_id,
  CASE WHEN COUNT(*) OVER (PARTITION BY person_id, measurement_concept_id, measurement_date) > 1
    THEN 1 ELSE 0 END AS violated
FROM @cdm_database_schema.measurement
WHERE measurement_concept_id IN (@metastases)
