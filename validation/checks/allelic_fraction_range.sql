SELECT person_id, 'masterkey.component' AS record_table, fhir_id AS record_id,
  CASE WHEN value_number < @min OR value_number > @max THEN 1 ELSE 0 END AS violated
FROM masterkey.component
WHERE code = '@condition_value' AND value_number IS NOT NULL
