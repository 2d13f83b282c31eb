SELECT person_id, 'episode' AS record_table, CAST(episode_id AS VARCHAR(20)) AS record_id,
  CASE WHEN episode_end_date < episode_start_date THEN 1 ELSE 0 END AS violated
FROM @cdm_database_schema.episode
WHERE episode_start_date IS NOT NULL AND episode_end_date IS NOT NULL
