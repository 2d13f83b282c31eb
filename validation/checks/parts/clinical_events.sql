  SELECT person_id, 'condition_occurrence' AS record_table, CAST(condition_occurrence_id AS VARCHAR(20)) AS record_id, condition_start_date AS event_date
  FROM @cdm_database_schema.condition_occurrence
  UNION ALL
  SELECT person_id, 'drug_exposure' AS record_table, CAST(drug_exposure_id AS VARCHAR(20)) AS record_id, drug_exposure_start_date AS event_date
  FROM @cdm_database_schema.drug_exposure
  UNION ALL
  SELECT person_id, 'procedure_occurrence' AS record_table, CAST(procedure_occurrence_id AS VARCHAR(20)) AS record_id, procedure_date AS event_date
  FROM @cdm_database_schema.procedure_occurrence
  UNION ALL
  SELECT person_id, 'specimen' AS record_table, CAST(specimen_id AS VARCHAR(20)) AS record_id, specimen_date AS event_date
  FROM @cdm_database_schema.specimen
  UNION ALL
  SELECT person_id, 'episode' AS record_table, CAST(episode_id AS VARCHAR(20)) AS record_id, episode_start_date AS event_date
  FROM @cdm_database_schema.episode
  UNION ALL
  SELECT person_id, 'measurement' AS record_table, CAST(measurement_id AS VARCHAR(20)) AS record_id, measurement_date AS event_date
  FROM @cdm_database_schema.measurement
  UNION ALL
  SELECT person_id, 'observation' AS record_table, CAST(observation_id AS VARCHAR(20)) AS record_id, observation_date AS event_date
  FROM @cdm_database_schema.observation
