SELECT e.person_id, 'episode' AS record_table, CAST(e.episode_id AS VARCHAR(20)) AS record_id,
  CASE WHEN e.episode_end_date IS NOT NULL THEN 1 ELSE 0 END AS violated
FROM @cdm_database_schema.episode e
WHERE e.episode_concept_id = @regimen AND EXISTS (
  SELECT 1 FROM masterkey.detail d
  WHERE d.table_name = 'episode' AND d.row_id = e.episode_id
    AND ((d.name = 'ongoing' AND d.value IN ('1', '継続中')) OR (d.name = 'status' AND d.value = 'in-progress'))
)
