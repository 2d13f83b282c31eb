"""Templates the other way round: what a site fills in, made from mappings/registry, and the models that read it back.

form         mappings/registry/{items,template,parts,choices}.csv and texts/*.yaml as one typed value
workbook     an empty XLSX with drop-downs and explanations; `sheets` reads a filled one back
dictionary   a REDCap data dictionary
questionnaire, response   a FHIR Questionnaire, and its answers as flat rows
guide        the tables of the exchange guide
shipped      source models and maps of all of these, generated and checked in
"""
