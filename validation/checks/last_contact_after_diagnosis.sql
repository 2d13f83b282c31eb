SELECT c.person_id, 'condition_occurrence' AS record_table,
  CAST(c.condition_occurrence_id AS VARCHAR(20)) AS record_id,
  CASE WHEN o.last_contact < c.condition_start_date THEN 1 ELSE 0 END AS violated
FROM @cdm_database_schema.condition_occurrence c
INNER JOIN (
  SELECT person_id, MAX(observation_period_end_date) AS last_contact
  FROM @cdm_database_schema.observation_period
  GROUP BY person_id
) o ON o.person_id = c.person_id
