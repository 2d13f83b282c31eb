SELECT r.person_id, 'masterkey.panel_report' AS record_table, CAST(r.panel_report_id AS VARCHAR(20)) AS record_id,
  CASE WHEN EXISTS (
    SELECT 1 FROM @cdm_database_schema.observation o
    WHERE o.person_id = r.person_id AND o.observation_source_value = 'panel' AND o.value_source_value = r.panel_code
  ) THEN 0 ELSE 1 END AS violated
FROM masterkey.panel_report r
WHERE r.panel_code IS NOT NULL AND EXISTS (
  SELECT 1 FROM @cdm_database_schema.observation o
  WHERE o.person_id = r.person_id AND o.observation_source_value = 'panel' AND o.value_source_value IS NOT NULL
)
