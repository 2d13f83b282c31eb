SELECT m.person_id, 'measurement' AS record_table, CAST(m.measurement_id AS VARCHAR(20)) AS record_id,
  CASE WHEN EXISTS (
    SELECT 1 FROM @cdm_database_schema.measurement o
    WHERE o.person_id = m.person_id AND o.measurement_source_value = 'metastasis' AND o.value_source_value = 'N'
  ) THEN 1 ELSE 0 END AS violated
FROM @cdm_database_schema.measurement m
WHERE m.measurement_source_value = 'metastasis-site'
