SELECT person_id, 'measurement' AS record_table, CAST(measurement_id AS VARCHAR(20)) AS record_id,
  CASE
    WHEN value_as_number IS NULL OR value_as_number < 0 OR value_as_number > @highest THEN 1
    WHEN ISNULL(unit_concept_id, 0) = 0 AND unit_source_value IS NULL THEN 1
    ELSE 0
  END AS violated
FROM @cdm_database_schema.measurement
WHERE measurement_concept_id = @tmb
