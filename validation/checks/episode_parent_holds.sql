SELECT e.person_id, 'episode' AS record_table, CAST(e.episode_id AS VARCHAR(20)) AS record_id,
  CASE
    WHEN p.episode_id IS NULL OR p.person_id <> e.person_id THEN 1
    WHEN p.episode_start_date > e.episode_start_date THEN 1
    WHEN p.episode_id = e.episode_id OR p.episode_parent_id = e.episode_id THEN 1
    ELSE 0
  END AS violated
FROM @cdm_database_schema.episode e
LEFT JOIN @cdm_database_schema.episode p ON p.episode_id = e.episode_parent_id
WHERE e.episode_parent_id IS NOT NULL
