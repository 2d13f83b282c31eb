SELECT e.person_id, 'episode' AS record_table, CAST(e.episode_id AS VARCHAR(20)) AS record_id,
  CASE
    WHEN e.episode_number IS NULL OR e.episode_number < 1 THEN 1
    WHEN e.number_before IS NULL AND e.episode_number > 1 THEN 1
    WHEN e.episode_number - e.number_before > 1 THEN 1
    WHEN e.episode_start_date < e.start_before THEN 1
    ELSE 0
  END AS violated
FROM (
  SELECT person_id, episode_id, episode_number, episode_start_date,
    LAG(episode_number) OVER (PARTITION BY person_id ORDER BY episode_number, episode_start_date, episode_id)
      AS number_before,
    LAG(episode_start_date) OVER (PARTITION BY person_id ORDER BY episode_number, episode_start_date, episode_id)
      AS start_before
  FROM @cdm_database_schema.episode
  WHERE episode_concept_id = @regimen
) e
