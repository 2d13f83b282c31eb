SELECT person_id, 'person' AS record_table, CAST(person_id AS VARCHAR(20)) AS record_id,
  CASE WHEN gender_concept_id NOT IN (@values) THEN 1 ELSE 0 END AS violated
FROM @cdm_database_schema.person
WHERE gender_concept_id IS NOT NULL
