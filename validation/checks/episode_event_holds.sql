SELECT e.person_id, 'episode_event' AS record_table,
  CONCAT(l.episode_id, '/', l.event_id, '/', l.episode_event_field_concept_id) AS record_id,
  CASE WHEN e.person_id IS NULL OR COALESCE(condition_.person_id, procedure_.person_id, drug_.person_id, measurement_.person_id, observation_.person_id, specimen_.person_id, episode_.person_id) IS NULL
    OR COALESCE(condition_.person_id, procedure_.person_id, drug_.person_id, measurement_.person_id, observation_.person_id, specimen_.person_id, episode_.person_id) <> e.person_id
    THEN 1 ELSE 0 END AS violated
FROM @cdm_database_schema.episode_event l
LEFT JOIN @cdm_database_schema.episode e ON e.episode_id = l.episode_id
LEFT JOIN @cdm_database_schema.condition_occurrence condition_
  ON l.episode_event_field_concept_id = @condition_field AND condition_.condition_occurrence_id = l.event_id
LEFT JOIN @cdm_database_schema.procedure_occurrence procedure_
  ON l.episode_event_field_concept_id = @procedure_field AND procedure_.procedure_occurrence_id = l.event_id
LEFT JOIN @cdm_database_schema.drug_exposure drug_
  ON l.episode_event_field_concept_id = @drug_field AND drug_.drug_exposure_id = l.event_id
LEFT JOIN @cdm_database_schema.measurement measurement_
  ON l.episode_event_field_concept_id = @measurement_field AND measurement_.measurement_id = l.event_id
LEFT JOIN @cdm_database_schema.observation observation_
  ON l.episode_event_field_concept_id = @observation_field AND observation_.observation_id = l.event_id
LEFT JOIN @cdm_database_schema.specimen specimen_
  ON l.episode_event_field_concept_id = @specimen_field AND specimen_.specimen_id = l.event_id
LEFT JOIN @cdm_database_schema.episode episode_
  ON l.episode_event_field_concept_id = @episode_field AND episode_.episode_id = l.event_id
