SELECT e.person_id, e.record_table, e.record_id,
  CASE WHEN e.event_date > d.death_date THEN 1 ELSE 0 END AS violated
FROM (
{clinical_events}
) e
INNER JOIN (
  SELECT person_id, MIN(death_date) AS death_date FROM @cdm_database_schema.death GROUP BY person_id
) d ON d.person_id = e.person_id
WHERE e.record_table NOT IN ('measurement', 'observation')
