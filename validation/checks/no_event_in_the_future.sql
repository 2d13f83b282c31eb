SELECT e.person_id, e.record_table, e.record_id,
  CASE WHEN e.event_date > CAST('@today' AS DATE) THEN 1 ELSE 0 END AS violated
FROM (
{clinical_events}
  UNION ALL
  SELECT person_id, 'death' AS record_table, CAST(person_id AS VARCHAR(20)) AS record_id, death_date AS event_date
  FROM @cdm_database_schema.death
) e
