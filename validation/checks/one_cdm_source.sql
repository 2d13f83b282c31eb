SELECT CAST(NULL AS INT) AS person_id, 'cdm_source' AS record_table, '1' AS record_id,
  CASE WHEN COUNT(*) <> 1 THEN 1 ELSE 0 END AS violated
FROM @cdm_database_schema.cdm_source
