SELECT e.person_id, e.record_table, e.record_id,
  CASE WHEN EXISTS (
    SELECT 1 FROM @cdm_database_schema.observation_period o
    WHERE o.person_id = e.person_id AND e.event_date >= o.observation_period_start_date
      AND e.event_date <= o.observation_period_end_date
  ) THEN 0 ELSE 1 END AS violated
FROM (
{clinical_events}
) e
