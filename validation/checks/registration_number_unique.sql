SELECT person_id, 'person' AS record_table, CAST(person_id AS VARCHAR(20)) AS record_id,
  CASE WHEN COUNT(*) OVER (PARTITION BY care_site_id, person_source_value) > 1 THEN 1 ELSE 0 END AS violated
FROM @cdm_database_schema.person
WHERE person_source_value IS NOT NULL
