SELECT person_id, 'death' AS record_table, CAST(person_id AS VARCHAR(20)) AS record_id,
  CASE WHEN COUNT(*) OVER (PARTITION BY person_id) > 1 THEN 1 ELSE 0 END AS violated
FROM @cdm_database_schema.death
WHERE person_id IS NOT NULL
