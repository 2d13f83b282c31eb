{
  "metaData": {
    "schemaVersion": "1.2.1",
    "referenceGenome": {"grcRelease": "GRCh38", "descriptions": ["own sequence set"]},
    "configOptions": {
      "typeLabelsInterpretedAsKbAmplification": ["copyNumberAlterationType: amplification"],
      "hideMsiValue": true
    },
    "comments": [{"itemIds": ["variant-4"], "contents": ["amplification seen in two runs"]}]
  },
  "testInfo": {
    "testId": "T-0001",
    "testType": "tumor and matched-normal",
    "panelName": "NCC OncoPanel",
    "panelVersion": "9.9",
    "softwareName": "caller"
  },
  "sequencingSamples": [
    {"itemId": "tumour", "tumorOrNormal": "tumor", "nucleicAcid": "DNA", "meanReadDepth": 512.5},
    {"itemId": "blood", "tumorOrNormal": "normal", "nucleicAcid": "DNA", "suspectedSampleStates": ["degraded"]}
  ],
  "variants": {
    "shortVariants": [
      {
        "itemId": "variant-1", "chromosome": "17", "position": 7675088, "referenceAllele": "C", "alternateAllele": "T",
        "alternateAlleleFrequency": 0.3100, "totalReadDepth": 400, "alternateAlleleReadDepth": 124, "variantType": "SNV",
        "transcripts": [
          {"transcriptId": "NM_900001", "transcriptDatabaseName": "RefSeq", "geneSymbol": "TP53", "strand": "-",
           "cdsChange": "524G>A", "aminoAcidsChange": "R175H", "calculatedEffects": ["missense_variant"]}
        ],
        "sampleItemId": "tumour", "variantOrigin": "somatic", "matched": true, "reported": true
      },
      {
        "itemId": "variant-2", "chromosome": "X", "position": 48791111, "referenceAllele": "GA", "alternateAllele": "G",
        "alternateAlleleFrequency": 0.12, "totalReadDepth": 200.5,
        "transcripts": [
          {"transcriptId": "NM_900002", "transcriptDatabaseName": "RefSeq", "geneSymbol": "ATRX",
           "cdsChange": "c.10delA", "aminoAcidsChange": "p.K4fs*3"}
        ],
        "sampleItemId": "tumour", "variantOrigin": "likely somatic", "reported": true
      },
      {
        "itemId": "variant-3", "chromosome": "12", "position": 25245350, "referenceAllele": "C", "alternateAllele": "A",
        "alternateAlleleFrequency": 0.04,
        "transcripts": [
          {"transcriptId": "NM_900003", "transcriptDatabaseName": "RefSeq", "geneSymbol": "KRAS",
           "cdsChange": "35G>T", "aminoAcidsChange": "G12V"}
        ],
        "sampleItemId": "tumour", "reported": false
      }
    ],
    "copyNumberAlterations": [
      {
        "itemId": "variant-4", "chromosome": "12", "startPosition": 68808172, "endPosition": 68850686,
        "copyNumberMetrics": [
          {"value": 0.0, "unit": "absolute copy number"},
          {"value": 4.20, "unit": "fold-change"}
        ],
        "copyNumberAlterationType": "amplification",
        "transcripts": [{"geneSymbol": "MDM2"}],
        "sampleItemId": "tumour", "variantOrigin": "somatic", "reported": true
      }
    ],
    "rearrangements": [
      {
        "itemId": "variant-5", "rearrangementType": "gene fusion", "orderedGenePairs": [["SS18", "SSX1"]],
        "breakends": [
          {"chromosome": "18", "startPosition": 26032400, "endPosition": 26032400, "matePieceLocation": "downstream",
           "transcripts": [{"geneSymbol": "SS18"}]},
          {"chromosome": "X", "startPosition": 48261500, "endPosition": 48261500, "matePieceLocation": "upstream",
           "transcripts": [{"geneSymbol": "SSX1", "strand": "+"}]}
        ],
        "supportingReadCount": 41, "sampleItemId": "tumour", "reported": true
      }
    ]
  },
  "otherBiomarkers": [
    {
      "itemId": "biomarker-1", "biomarkerType": "TMB", "state": "stable",
      "biomarkerMetrics": [{"value": 3.10, "unit": "mutations-per-megabase", "type": "mutations-per-megabase"}],
      "sampleItemId": "tumour", "reported": true
    },
    {
      "itemId": "biomarker-2", "biomarkerType": "MSI", "state": "stable",
      "biomarkerMetrics": [{"value": 2, "unit": "%"}],
      "sampleItemId": "tumour", "reported": true, "vendorNote": "a field of the laboratory's own"
    }
  ]
}
