SELECT e.person_id, 'episode' AS record_table, CAST(e.episode_id AS VARCHAR(20)) AS record_id,
  CASE WHEN EXISTS (
    SELECT 1 FROM @cdm_database_schema.episode o
    WHERE o.person_id = e.person_id AND o.episode_concept_id = @regimen
      AND o.episode_number > e.episode_number
      AND DATEADD(day, @days, o.episode_start_date) < e.episode_end_date
  ) THEN 1 ELSE 0 END AS violated
FROM @cdm_database_schema.episode e
WHERE e.episode_concept_id = @regimen AND e.episode_end_date IS NOT NULL
