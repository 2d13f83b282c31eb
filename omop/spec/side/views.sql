-- Views beside the CDM, in schema masterkey. One statement each, ended by a semicolon.

-- Unmapped codes, most frequent first: what a steward fills in.
CREATE VIEW masterkey.unmapped_codes AS
SELECT system, code, any_value(text) AS text, table_name, field, count(*) AS n
FROM masterkey.unmapped GROUP BY system, code, table_name, field ORDER BY n DESC, system, code, table_name, field;

-- The balance FHIR -> CDM: values per resource type and element path, and what became of them.
CREATE VIEW masterkey.balance AS
SELECT s.resource_type, s.path, coalesce(p.status, 'unlisted') AS status, p.reason, sum(s.n * c.n)::BIGINT AS n
FROM masterkey.census c
JOIN masterkey.shape s ON s.shape_id = c.shape_id
LEFT JOIN masterkey.path_status p ON p.resource_type = s.resource_type AND p.path = s.path
GROUP BY ALL ORDER BY ALL;

-- One row per variant: the MEASUREMENT and its components by LOINC code (genomics.md 2.2).
CREATE VIEW masterkey.variant AS
SELECT o.person_id, o.row_id AS measurement_id, o.site, o.fhir_id,
  string_agg(c.value_text, '::' ORDER BY c.number) FILTER (c.code = '48018-6') AS genes,
  string_agg(c.value_code, ' ' ORDER BY c.number) FILTER (c.code = '48018-6') AS gene_codes,
  max(c.value_text) FILTER (c.code = '81252-9') AS marker,
  max(c.value_text) FILTER (c.code = '48004-6') AS coding_hgvs,
  max(c.value_text) FILTER (c.code = '48005-3') AS protein_hgvs,
  max(c.value_text) FILTER (c.code = '81290-9') AS genomic_hgvs,
  max(c.value_text) FILTER (c.code = '51958-7') AS transcript,
  max(c.value_text) FILTER (c.code = '48000-4') AS chromosome,
  max(c.value_number) FILTER (c.code = '81254-5') AS position,
  max(c.value_text) FILTER (c.code = '69547-8') AS reference_allele,
  max(c.value_text) FILTER (c.code = '69551-0') AS alternate_allele,
  max(c.value_code) FILTER (c.code = '48002-0') AS source_class,
  max(c.value_number) FILTER (c.code = '81258-6') AS allele_fraction,
  max(c.value_number) FILTER (c.code = '82121-5') AS allele_reads,
  max(c.value_number) FILTER (c.code = '82155-3') AS copy_number,
  max(r.rung) AS rung
FROM masterkey.origin o
JOIN masterkey.component c ON c.person_id = o.person_id AND c.resource_type = o.resource_type AND c.fhir_id = o.fhir_id
LEFT JOIN masterkey.rung r ON r.table_name = o.table_name AND r.row_id = o.row_id AND r.field = 'measurement_concept_id'
WHERE o.table_name = 'measurement'
GROUP BY o.person_id, o.row_id, o.site, o.fhir_id
HAVING count(*) FILTER (c.code IN ('48018-6', '81252-9')) > 0;

-- Lines of therapy with what EPISODE has no place for.
CREATE VIEW masterkey.treatment_line AS
SELECT e.person_id, e.episode_id, e.episode_number AS line, e.episode_start_date, e.episode_end_date,
  coalesce(max(f.value), e.episode_source_value) AS regimen,
  max(d.value) FILTER (d.name = 'phase') AS phase,
  max(d.value) FILTER (d.name = 'status') AS status,
  max(d.value) FILTER (d.name = 'intent') AS intent,
  max(d.value) FILTER (d.name = 'stop_reason') AS stop_reason,
  max(d.value) FILTER (d.name = 'facility') AS facility,
  max(d.value) FILTER (d.name = 'treatment_policy') AS treatment_policy
FROM episode e
JOIN masterkey.origin o ON o.table_name = 'episode' AND o.row_id = e.episode_id AND o.resource_type = 'Procedure'
LEFT JOIN masterkey.detail d ON d.table_name = 'episode' AND d.row_id = e.episode_id
LEFT JOIN masterkey.full_value f
  ON f.table_name = 'episode' AND f.row_id = e.episode_id AND f.field = 'episode_source_value'
GROUP BY e.person_id, e.episode_id, e.episode_number, e.episode_start_date, e.episode_end_date, e.episode_source_value;

-- Specimens with their quality.
CREATE VIEW masterkey.specimen_quality AS
SELECT s.person_id, s.specimen_id, s.specimen_date,
  coalesce(max(f.value), s.specimen_source_value) AS specimen_source_value,
  try_cast(max(d.value) FILTER (d.name = 'tumour_content') AS DOUBLE) AS tumour_content,
  max(d.value) FILTER (d.name = 'tumour_content_unit') AS tumour_content_unit,
  max(d.value) FILTER (d.name = 'method') AS method
FROM specimen s
LEFT JOIN masterkey.detail d ON d.table_name = 'specimen' AND d.row_id = s.specimen_id
LEFT JOIN masterkey.full_value f
  ON f.table_name = 'specimen' AND f.row_id = s.specimen_id AND f.field = 'specimen_source_value'
GROUP BY s.person_id, s.specimen_id, s.specimen_date, s.specimen_source_value;

-- Panels tested, from the report and from the registry's own item; which genes they cover is not stated here.
CREATE VIEW masterkey.tested_panel AS
SELECT person_id, 'panel_report' AS source, panel_report_id AS row_id, report_date AS test_date, panel_code, panel_text
FROM masterkey.panel_report
UNION ALL
SELECT o.person_id, 'observation', o.observation_id, o.observation_date,
  coalesce(code.value, o.value_source_value), coalesce(text.value, o.value_as_string)
FROM observation o
LEFT JOIN masterkey.full_value code
  ON code.table_name = 'observation' AND code.row_id = o.observation_id AND code.field = 'value_source_value'
LEFT JOIN masterkey.full_value text
  ON text.table_name = 'observation' AND text.row_id = o.observation_id AND text.field = 'value_as_string'
WHERE o.observation_source_value = 'panel';
