SELECT person_id, 'person' AS record_table, CAST(person_id AS VARCHAR(20)) AS record_id,
  CASE WHEN year_of_birth < @min OR year_of_birth > @max THEN 1 ELSE 0 END AS violated
FROM @cdm_database_schema.person
WHERE year_of_birth IS NOT NULL
