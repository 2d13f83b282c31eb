SELECT e.person_id, e.record_table, e.record_id,
  CASE WHEN e.end_date > d.death_date THEN 1 ELSE 0 END AS violated
FROM (
  SELECT person_id, 'drug_exposure' AS record_table, CAST(drug_exposure_id AS VARCHAR(20)) AS record_id, drug_exposure_end_date AS end_date
  FROM @cdm_database_schema.drug_exposure
  UNION ALL
  SELECT person_id, 'procedure_occurrence' AS record_table, CAST(procedure_occurrence_id AS VARCHAR(20)) AS record_id, procedure_end_date AS end_date
  FROM @cdm_database_schema.procedure_occurrence
  UNION ALL
  SELECT person_id, 'episode' AS record_table, CAST(episode_id AS VARCHAR(20)) AS record_id, episode_end_date AS end_date
  FROM @cdm_database_schema.episode
) e
INNER JOIN (
  SELECT person_id, MIN(death_date) AS death_date FROM @cdm_database_schema.death GROUP BY person_id
) d ON d.person_id = e.person_id
WHERE e.end_date IS NOT NULL
