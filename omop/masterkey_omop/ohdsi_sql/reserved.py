"""Words that must be quoted as names: what DuckDB 2.0 and PostgreSQL 15 answer when asked.

DuckDB: `duckdb_keywords()`, categories reserved and type_function. PostgreSQL: `pg_get_keywords()`, catcode
R and T (https://www.postgresql.org/docs/15/sql-keywords-appendix.html). A test asks the engines again.
"""

from __future__ import annotations

_BOTH = """ all analyse analyze and any array as asc asymmetric authorization binary both case cast check
collate collation column concurrently constraint create cross default deferrable desc distinct do else end
except false fetch for foreign freeze from full group having ilike in initially inner intersect into is
isnull join lateral leading left like limit natural not notnull null offset on only or order outer overlaps
placing primary references returning right select similar some symmetric table tablesample then to trailing
true union unique using variadic verbose when where window with
"""

DUCKDB = set(
    f"""{_BOTH}
    anti asof at by columns describe generated glob lambda map pivot pivot_longer pivot_wider positional
    qualify semi show struct summarize try_cast tuple unpack unpivot""".split()
)

POSTGRES = set(
    f"""{_BOTH}
    current_catalog current_date current_role current_schema current_time current_timestamp current_user
    grant localtime localtimestamp session_user user""".split()
)
