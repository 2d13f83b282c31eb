"""REDCap: its data dictionary gives a source model and a draft map; its flat export is a table like others."""
