SELECT f.person_id, f.record_table, f.record_id,
  CASE WHEN COALESCE(condition_.person_id, procedure_.person_id, drug_.person_id, measurement_.person_id, observation_.person_id, specimen_.person_id, episode_.person_id) IS NULL
    OR COALESCE(condition_.person_id, procedure_.person_id, drug_.person_id, measurement_.person_id, observation_.person_id, specimen_.person_id, episode_.person_id) <> f.person_id
    THEN 1 ELSE 0 END AS violated
FROM (
  SELECT person_id, 'measurement' AS record_table, CAST(measurement_id AS VARCHAR(20)) AS record_id,
    measurement_event_id AS event_id, meas_event_field_concept_id AS event_field
  FROM @cdm_database_schema.measurement
  WHERE measurement_event_id IS NOT NULL OR meas_event_field_concept_id IS NOT NULL
  UNION ALL
  SELECT person_id, 'observation' AS record_table, CAST(observation_id AS VARCHAR(20)) AS record_id,
    observation_event_id AS event_id, obs_event_field_concept_id AS event_field
  FROM @cdm_database_schema.observation
  WHERE observation_event_id IS NOT NULL OR obs_event_field_concept_id IS NOT NULL
) f
LEFT JOIN @cdm_database_schema.condition_occurrence condition_
  ON f.event_field = @condition_field AND condition_.condition_occurrence_id = f.event_id
LEFT JOIN @cdm_database_schema.procedure_occurrence procedure_
  ON f.event_field = @procedure_field AND procedure_.procedure_occurrence_id = f.event_id
LEFT JOIN @cdm_database_schema.drug_exposure drug_
  ON f.event_field = @drug_field AND drug_.drug_exposure_id = f.event_id
LEFT JOIN @cdm_database_schema.measurement measurement_
  ON f.event_field = @measurement_field AND measurement_.measurement_id = f.event_id
LEFT JOIN @cdm_database_schema.observation observation_
  ON f.event_field = @observation_field AND observation_.observation_id = f.event_id
LEFT JOIN @cdm_database_schema.specimen specimen_
  ON f.event_field = @specimen_field AND specimen_.specimen_id = f.event_id
LEFT JOIN @cdm_database_schema.episode episode_
  ON f.event_field = @episode_field AND episode_.episode_id = f.event_id
