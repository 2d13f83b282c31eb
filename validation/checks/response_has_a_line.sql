SELECT r.person_id, r.record_table, r.record_id,
  CASE WHEN r.event_id IS NULL OR r.event_field IS NULL OR r.event_field <> @episode_field
    THEN 1 ELSE 0 END AS violated
FROM (
  SELECT person_id, 'observation' AS record_table, CAST(observation_id AS VARCHAR(20)) AS record_id,
    observation_event_id AS event_id, obs_event_field_concept_id AS event_field
  FROM @cdm_database_schema.observation
  WHERE observation_concept_id = @response
  UNION ALL
  SELECT person_id, 'measurement' AS record_table, CAST(measurement_id AS VARCHAR(20)) AS record_id,
    measurement_event_id AS event_id, meas_event_field_concept_id AS event_field
  FROM @cdm_database_schema.measurement
  WHERE measurement_concept_id = @response
) r
