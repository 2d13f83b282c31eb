"""Which statements there are, and what is left of one that only advises a server."""

from __future__ import annotations

from sqlglot import exp

from masterkey_omop.ohdsi_sql.refused import RefusedError

_STATEMENTS = (
    exp.Select,
    exp.SetOperation,
    exp.Subquery,
    exp.Insert,
    exp.Update,
    exp.Delete,
    exp.TruncateTable,
)


def statement(tree: exp.Expr) -> exp.Expr | None:
    """The statement to translate; None for one that only tells a server how to plan."""
    if isinstance(tree, exp.IfBlock):
        return _guarded(tree)
    if isinstance(tree, exp.Command):
        raise _command(tree)
    if isinstance(tree, exp.Create):
        return _create(tree)
    if isinstance(tree, exp.Drop) and str(tree.args.get("kind")).upper() == "TABLE":
        return tree
    if isinstance(tree, _STATEMENTS):
        return _target_is_a_table(tree)
    raise RefusedError(
        tree, f"a statement of the kind {tree.key.upper()}", "Write SELECT, INSERT, UPDATE, DELETE or a table"
    )


def _command(tree: exp.Command) -> RefusedError:
    """Commands that only advise a server (UPDATE STATISTICS) are left out before parsing; others are
    refused."""
    return RefusedError(tree, f"the command {tree.name.upper()}", "Leave it out, or do it outside of the query")


def _create(tree: exp.Create) -> exp.Expr | None:
    created = str(tree.args.get("kind")).upper()
    if created.endswith("INDEX"):
        return None  # an index changes no result
    if created != "TABLE":
        raise RefusedError(tree, f"CREATE {created}", "Create a #temp table: SELECT ... INTO #name FROM ...")
    return tree


def _guarded(tree: exp.IfBlock) -> exp.Expr:
    """IF OBJECT_ID('x', 'U') IS [NOT] NULL DROP | CREATE TABLE x -> DROP | CREATE TABLE IF [NOT] EXISTS x."""
    guarded = tree.args["true"].expressions if isinstance(tree.args.get("true"), exp.Block) else []
    test = next((c for c in tree.find_all(exp.Anonymous) if c.name.upper() == "OBJECT_ID" and c.expressions), None)
    wanted = exp.Drop if isinstance(tree.this, exp.Not) else exp.Create
    if test is None or len(guarded) != 1 or not isinstance(guarded[0], wanted) or tree.args.get("false"):
        raise RefusedError(tree, "IF", "Write IF OBJECT_ID('name', 'U') IS NOT NULL DROP TABLE name, or leave it out")
    inner = guarded[0]
    table = inner.find(exp.Table)
    if table is None or table.name.lower() != test.expressions[0].name.rpartition(".")[2].lstrip("#").lower():
        raise RefusedError(test, "an OBJECT_ID of another table", "Name the table that is created or dropped")
    inner.set("exists", True)
    return inner


def _target_is_a_table(tree: exp.Expr) -> exp.Expr:
    """UPDATE a SET ... FROM table a, DELETE a FROM table a: forms that only T-SQL has."""
    source = tree.args.get("from_")
    if (
        isinstance(tree, exp.Update)
        and source
        and any(t.alias_or_name == tree.this.name for t in source.find_all(exp.Table))
    ):
        raise RefusedError(
            tree.this,
            "UPDATE of an alias",
            "Write UPDATE table SET ... FROM (SELECT ...) a WHERE a.id = table.id",
        )
    if isinstance(tree, exp.Delete) and tree.args.get("tables"):
        raise RefusedError(tree, "DELETE of an alias", "Write DELETE FROM table WHERE EXISTS (SELECT ...)")
    return tree
