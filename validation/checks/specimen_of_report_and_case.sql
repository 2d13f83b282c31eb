SELECT r.person_id, 'specimen' AS record_table, CAST(r.specimen_id AS VARCHAR(20)) AS record_id,
  CASE WHEN EXISTS (
    SELECT 1 FROM @cdm_database_schema.observation o
    INNER JOIN @cdm_database_schema.specimen c ON c.specimen_id = o.observation_event_id
    WHERE o.person_id = r.person_id AND o.observation_source_value = 'panel'
      AND o.obs_event_field_concept_id = @specimen_field AND c.specimen_date = s.specimen_date
  ) THEN 0 ELSE 1 END AS violated
FROM masterkey.panel_report r
INNER JOIN @cdm_database_schema.specimen s ON s.specimen_id = r.specimen_id
WHERE EXISTS (
  SELECT 1 FROM @cdm_database_schema.observation o
  INNER JOIN @cdm_database_schema.specimen c ON c.specimen_id = o.observation_event_id
  WHERE o.person_id = r.person_id AND o.observation_source_value = 'panel'
    AND o.obs_event_field_concept_id = @specimen_field AND NOT EXISTS (
      SELECT 1 FROM masterkey.detail d
      WHERE d.table_name = 'specimen' AND d.row_id = c.specimen_id AND d.name = 'date_from'
    )
)
