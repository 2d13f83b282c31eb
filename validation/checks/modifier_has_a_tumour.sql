SELECT person_id, 'measurement' AS record_table, CAST(measurement_id AS VARCHAR(20)) AS record_id,
  CASE WHEN measurement_event_id IS NULL OR meas_event_field_concept_id IS NULL
    OR meas_event_field_concept_id NOT IN (@condition_field, @episode_field, @procedure_field)
    THEN 1 ELSE 0 END AS violated
FROM @cdm_database_schema.measurement
WHERE measurement_concept_id IN (@modifiers)
