SELECT r.person_id, 'masterkey.panel_report' AS record_table, CAST(r.row_id AS VARCHAR(20)) AS record_id,
  CASE WHEN ABS(CAST(r.value AS INT) - CAST(c.value AS INT)) > @years THEN 1 ELSE 0 END AS violated
FROM masterkey.detail r
INNER JOIN @cdm_database_schema.person p ON p.person_id = r.person_id
INNER JOIN masterkey.detail c ON c.person_id = r.person_id AND c.table_name = 'person' AND c.name = 'age_at_registration'
WHERE r.table_name = 'masterkey.panel_report' AND r.name = 'age_at_report'
