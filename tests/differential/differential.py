#!/usr/bin/env python3
"""Runs random queries over random tables on `pipe sql --memory` and on DuckDB, and prints where they disagree.

usage: differential.py [--pipe target/debug/pipe] [--queries N] [--seed S]

Only what both engines define alike is generated: exact integer and decimal + - *, comparisons and three-valued logic,
CASE, COALESCE, NULLIF, text functions with positive positions, date arithmetic, aggregates, windows with a total
order, joins, set operations, subqueries. NULL placement is always written out. Known differences of definition that
are *not* generated: division (DuckDB: double), AVG (double), GREATEST and LEAST and CONCAT with NULL (DuckDB skips it),
text positions below 1, implicit text-to-number comparison.
COUNT_IF is written as a filtered COUNT for DuckDB, whose own gives NULL where nothing counts.
An error on both sides counts as agreement; an error on one side only is a disagreement.
"""
import argparse
import json
import random
import re
import subprocess
import sys
from collections import Counter
from decimal import Decimal

import duckdb

TABLES = {
    "t": {"id": "int", "a": "int", "b": "int", "d": "dec", "s": "text", "u": "text", "day": "date", "f": "bool"},
    "r": {"k": "int", "a": "int", "s": "text", "day": "date", "e": "dec"},
}
SQL_TYPES = {"int": "INTEGER", "dec": "NUMBER(10,2)", "text": "VARCHAR", "date": "DATE", "bool": "BOOLEAN"}
DUCK_TYPES = {**SQL_TYPES, "int": "BIGINT", "dec": "DECIMAL(10,2)"}
WORDS = ["", "a", "b", "ab", "abc", "Été", "éa", "x_y", "50%", "  pad ", "ÀB", "a'b", "zz", "Ab", "word word"]


def literal(rng, kind):
    if rng.random() < 0.15:
        return "NULL" if kind is None else f"CAST(NULL AS {SQL_TYPES[kind]})"
    if kind == "int":
        return str(rng.choice([0, 1, 2, 3, 7, -1, -5, 10, 100, 12345]))
    if kind == "dec":
        return rng.choice(["0.00", "1.50", "-2.25", "99.99", "0.01", "-0.50", "1234.56"])
    if kind == "text":
        return "'" + rng.choice(WORDS).replace("'", "''") + "'"
    if kind == "date":
        return f"DATE '{rng.choice(['2024-02-29', '2023-12-31', '2024-01-01', '1999-07-15', '2026-11-02'])}'"
    return rng.choice(["TRUE", "FALSE"])


class Expressions:
    def __init__(self, rng, columns):
        self.rng, self.columns = rng, columns

    def leaf(self, kind):
        mine = [c for c, k in self.columns.items() if k == kind]
        if mine and self.rng.random() < 0.75:
            return self.rng.choice(mine)
        return literal(self.rng, kind)

    def of(self, kind, depth):
        if depth <= 0 or self.rng.random() < 0.2:
            return self.leaf(kind)
        e = lambda k: self.of(k, depth - 1)
        if self.rng.random() < 0.22:
            return self.rng.choice([
                lambda: f"CASE WHEN {e('bool')} THEN {e(kind)} ELSE {e(kind)} END",
                lambda: f"CASE WHEN {e('bool')} THEN {e(kind)} WHEN {e('bool')} THEN {e(kind)} END",
                lambda: f"COALESCE({e(kind)}, {e(kind)})",
                lambda: f"NULLIF({e(kind)}, {e(kind)})",
                lambda: f"CASE {e('int')} WHEN {literal(self.rng, 'int')} THEN {e(kind)} ELSE {e(kind)} END",
            ])()
        return self.rng.choice(getattr(self, "_" + kind)(e))()

    def _int(self, e):
        return [
            lambda: f"({e('int')} + {e('int')})", lambda: f"({e('int')} - {e('int')})", lambda: f"({e('int')} * {e('int')})",
            lambda: f"ABS({e('int')})", lambda: f"LENGTH({e('text')})", lambda: f"(- {e('int')})", lambda: f"SIGN({e('int')})",
            lambda: f"POSITION('a' IN {e('text')})", lambda: f"ASCII(COALESCE(NULLIF({e('text')}, ''), 'x'))",
            lambda: f"EXTRACT({self.rng.choice(['YEAR', 'MONTH', 'DAY', 'QUARTER'])} FROM {e('date')})",
            lambda: f"({e('date')} - {e('date')})",
            lambda: f"DATEDIFF('{self.rng.choice(['day', 'month', 'year', 'quarter'])}', {e('date')}, {e('date')})",
        ]

    def _dec(self, e):
        return [
            lambda: f"({e('dec')} + {e('dec')})", lambda: f"({e('dec')} - {e('dec')})", lambda: f"({e('dec')} * {e('int')})",
            lambda: f"ABS({e('dec')})", lambda: f"CAST({e('int')} AS DECIMAL(18,2))", lambda: f"ROUND({e('dec')}, 1)",
            lambda: f"FLOOR({e('dec')})", lambda: f"CEIL({e('dec')})",
        ]

    def _text(self, e):
        n = lambda: self.rng.randint(1, 4)
        return [
            lambda: f"UPPER({e('text')})", lambda: f"LOWER({e('text')})", lambda: f"({e('text')} || {e('text')})",
            lambda: f"SUBSTR({e('text')}, {n()}, {n()})", lambda: f"REPLACE({e('text')}, 'a', 'xy')", lambda: f"TRIM({e('text')})",
            lambda: f"LTRIM({e('text')})", lambda: f"RTRIM({e('text')})", lambda: f"LEFT({e('text')}, {n()})", lambda: f"RIGHT({e('text')}, {n()})",
            lambda: f"REVERSE({e('text')})", lambda: f"CAST({e('int')} AS VARCHAR)", lambda: f"CAST({e('date')} AS VARCHAR)",
            lambda: f"LPAD({e('text')}, {n() + 2}, '*')", lambda: f"REPEAT({e('text')}, {n()})", lambda: f"TRANSLATE({e('text')}, 'ab', 'ba')",
        ]

    def _date(self, e):
        return [
            lambda: f"({e('date')} + {self.rng.randint(0, 400)})", lambda: f"({e('date')} - {self.rng.randint(0, 400)})",
            lambda: f"CAST(DATE_TRUNC('{self.rng.choice(['month', 'year', 'quarter', 'week'])}', {e('date')}) AS DATE)", lambda: f"LAST_DAY({e('date')})",
        ]

    def _bool(self, e):
        kind = self.rng.choice(["int", "dec", "text", "date"])
        op = self.rng.choice(["=", "<>", "<", "<=", ">", ">="])
        return [
            lambda: f"({e(kind)} {op} {e(kind)})", lambda: f"({e('bool')} AND {e('bool')})", lambda: f"({e('bool')} OR {e('bool')})",
            lambda: f"(NOT {e('bool')})", lambda: f"({e(kind)} IS NULL)", lambda: f"({e(kind)} IS NOT NULL)",
            lambda: f"({e(kind)} BETWEEN {e(kind)} AND {e(kind)})", lambda: f"({e(kind)} IN ({e(kind)}, {e(kind)}, {literal(self.rng, kind)}))",
            lambda: f"({e(kind)} NOT IN ({literal(self.rng, kind)}, {literal(self.rng, kind)}))", lambda: f"({e('text')} LIKE '{self.rng.choice(['a%', '%b', '_b%', '%', 'A_'])}')",
            lambda: f"({e('text')} ILIKE '%A%')", lambda: f"({e(kind)} IS DISTINCT FROM {e(kind)})", lambda: f"CONTAINS({e('text')}, 'a')",
            lambda: f"STARTSWITH({e('text')}, 'a')",
        ]


def aggregate(rng, x):
    return rng.choice([
        lambda: "COUNT(*)", lambda: f"COUNT({x.of(rng.choice(['int', 'text', 'date']), 1)})", lambda: f"COUNT(DISTINCT {x.of(rng.choice(['int', 'text']), 1)})",
        lambda: f"SUM({x.of('int', 2)})", lambda: f"SUM({x.of('dec', 1)})", lambda: f"MIN({x.of(rng.choice(['int', 'text', 'date', 'dec']), 1)})",
        lambda: f"MAX({x.of(rng.choice(['int', 'text', 'date', 'dec']), 1)})", lambda: f"SUM(DISTINCT {x.of('int', 1)})", lambda: f"COUNT_IF({x.of('bool', 2)})",
        lambda: f"BOOL_{rng.choice(['AND', 'OR'])}({x.of('bool', 1)})",
    ])()


def window(rng, x):
    nulls = rng.choice(["NULLS FIRST", "NULLS LAST"])
    order = f"ORDER BY {rng.choice(['a', 'day', 's', 'b'])} {rng.choice(['ASC', 'DESC'])} {nulls}"
    part = rng.choice(["", "PARTITION BY f ", "PARTITION BY a "])
    return rng.choice([
        lambda: f"ROW_NUMBER() OVER ({part}{order}, id NULLS LAST)", lambda: f"RANK() OVER ({part}{order})", lambda: f"DENSE_RANK() OVER ({part}{order})",
        lambda: f"SUM({x.of('int', 1)}) OVER ({part}{order}, id NULLS LAST ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)",
        lambda: f"SUM({x.of('int', 1)}) OVER ({part})", lambda: f"COUNT(*) OVER ({part}{order} RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)",
        lambda: f"LAG({x.of('int', 1)}, {rng.randint(1, 3)}) OVER ({part}{order}, id NULLS LAST)", lambda: f"LEAD({x.of('text', 1)}) OVER ({part}{order}, id NULLS LAST)",
        lambda: f"FIRST_VALUE({x.of('int', 1)}) OVER ({part}{order}, id NULLS LAST)", lambda: f"NTILE({rng.randint(1, 4)}) OVER ({part}{order}, id NULLS LAST)",
        lambda: f"MAX({x.of('date', 1)}) OVER ({part}{order}, id NULLS LAST ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)",
    ])()


def query(rng):
    x = Expressions(rng, TABLES["t"])
    where = f" WHERE {x.of('bool', 3)}" if rng.random() < 0.6 else ""
    kinds = list(SQL_TYPES)
    shape = rng.choice(["rows", "rows", "rows", "group", "group", "window", "join", "asof", "set", "subquery", "total", "distinct"])
    if shape == "rows":
        return "SELECT id, " + ", ".join(f"{x.of(rng.choice(kinds), 3)} AS c{i}" for i in range(4)) + " FROM t" + where
    if shape == "group":
        key = f"COALESCE({x.of('int', 2)}, a)" if rng.random() < 0.5 else rng.choice(list(TABLES['t'])[1:])
        having = f" HAVING {rng.choice(['COUNT(*) > 1', 'MIN(a) IS NOT NULL', 'SUM(b) > 3'])}" if rng.random() < 0.3 else ""
        return f"SELECT {key} AS k, " + ", ".join(f"{aggregate(rng, x)} AS c{i}" for i in range(3)) + f" FROM t{where} GROUP BY {key}{having}"
    if shape == "window":
        return "SELECT id, " + ", ".join(f"{window(rng, x)} AS c{i}" for i in range(2)) + " FROM t" + where
    if shape == "join":
        both = Expressions(rng, {**{f"t.{c}": k for c, k in TABLES["t"].items()}, **{f"r.{c}": k for c, k in TABLES["r"].items()}})
        on = rng.choice(["t.a = r.a", "t.a = r.a AND t.s = r.s", f"t.a = r.a AND {both.of('bool', 2)}", "t.day < r.day AND t.b = r.k"])
        kind = rng.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        if kind in ("RIGHT JOIN", "FULL JOIN"):
            on = rng.choice(["t.a = r.a", "t.a = r.a AND t.s = r.s"])
        return "SELECT t.id, r.k, " + ", ".join(f"{both.of(rng.choice(kinds), 2)} AS c{i}" for i in range(3)) + f" FROM t {kind} r ON {on}"
    if shape == "asof":
        # Which of several equally close rows is taken is left open: only what they have in common is looked at.
        near, op = rng.choice(["day", "day", "a"]), rng.choice([">=", ">", "<=", "<"])
        equal = rng.choice([[], ["t.s = r.s"], ["t.a = r.a"], ["t.a = r.a", "r.s = t.s"]])
        on = f" ON {' AND '.join(equal)}" if equal else ""
        test = rng.choice(["", "", f" WHERE {x.of('bool', 2)}", f" WHERE r.{near} IS NOT NULL AND t.b > 1"])
        test = re.sub(r"(?<![.\w'])(id|a|b|d|s|u|day|f)(?![\w'])", r"t.\1", test)
        return f"SELECT t.id, t.s, r.{near} FROM t ASOF JOIN r MATCH_CONDITION (t.{near} {op} r.{near}){on}{test}"
    if shape == "set":
        op = rng.choice(["UNION", "UNION ALL", "INTERSECT", "EXCEPT"])
        y = Expressions(rng, TABLES["r"])
        return f"SELECT {x.of('int', 1)} AS c0, {x.of('text', 1)} AS c1 FROM t{where} {op} SELECT {y.of('int', 1)}, {y.of('text', 1)} FROM r"
    if shape == "subquery":
        y = Expressions(rng, TABLES["r"])
        test = rng.choice([
            f"a {rng.choice(['IN', 'NOT IN'])} (SELECT a FROM r WHERE {y.of('bool', 1)})",
            f"{rng.choice(['', 'NOT '])}EXISTS (SELECT 1 FROM r WHERE r.a = t.a AND {rng.choice(['r.k > 3', 'r.s IS NOT NULL', 'r.day > t.day'])})",
            "b > (SELECT MIN(k) FROM r)",
        ])
        return f"SELECT id, a, {x.of(rng.choice(kinds), 2)} AS c0 FROM t WHERE {test}"
    if shape == "total":
        return "SELECT " + ", ".join(f"{aggregate(rng, x)} AS c{i}" for i in range(4)) + " FROM t" + where
    return f"SELECT DISTINCT {x.of(rng.choice(kinds), 2)} AS c0, {x.of(rng.choice(kinds), 1)} AS c1 FROM t{where}"


def setup(rng):
    statements, duck = [], []
    for table, columns in TABLES.items():
        rows = []
        for i in range(rng.choice([0, 1, 12, 20])):
            cells = [literal(rng, k) for k in columns.values()]
            cells[0] = str(i + 1)
            rows.append("(" + ", ".join(cells) + ")")
        for types, out in ((SQL_TYPES, statements), (DUCK_TYPES, duck)):
            out.append(f"CREATE TABLE {table} ({', '.join(f'{c} {types[k]}' for c, k in columns.items())})")
            if rows:
                out.append(f"INSERT INTO {table} VALUES {', '.join(rows)}")
    return statements, duck


def for_duck(sql):
    asof = r"ASOF JOIN r MATCH_CONDITION \(([^()]*)\)(?: ON ((?:\w+\.\w+ = \w+\.\w+(?: AND )?)+))?"
    sql = re.sub(asof, lambda m: f"ASOF LEFT JOIN r ON {m[1]}" + (f" AND {m[2]}" if m[2] else ""), sql)
    return sql.replace("STARTSWITH(", "STARTS_WITH(").replace("NUMBER(10,2)", "DECIMAL(10,2)").replace("COUNT_IF(", "COUNT(*) FILTER (WHERE ")


def for_snowflake(sql):
    return sql.replace("BOOL_AND(", "BOOLAND_AGG(").replace("BOOL_OR(", "BOOLOR_AGG(")


def cell(value):
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float, Decimal)):
        return round(float(value), 6) + 0.0
    return str(value)


def run_pipe(pipe, statements):
    done = subprocess.run([pipe, "sql", "--memory", "--format", "json"], input=";\n".join(statements) + ";\n", capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        return None, done.stderr.strip()
    return [tuple(cell(v) for v in row) for row in json.loads(done.stdout, parse_float=Decimal)["rows"]], ""


def run_duck(statements, sql):
    with duckdb.connect() as con:
        for s in statements:
            con.execute(for_duck(s))
        try:
            return [tuple(cell(v) for v in row) for row in con.execute(sql).fetchall()], ""
        except duckdb.Error as e:
            return None, str(e).strip()


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--pipe", default="target/debug/pipe")
    args.add_argument("--queries", type=int, default=300)
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--show", type=int, default=10)
    a = args.parse_args()
    verdicts = Counter()
    for n in range(a.queries):
        rng = random.Random(f"{a.seed}/{n}")
        ours, theirs = setup(rng)
        sql = query(rng)
        got, error = run_pipe(a.pipe, ours + [for_snowflake(sql)])
        want, refusal = run_duck(theirs, for_duck(sql))
        if (got is None) != (want is None):
            verdict = "error on our side only" if got is None else "error on their side only"
        elif got is None or Counter(got) == Counter(want):
            verdict = "agree" if got is not None else "error on both"
        else:
            verdict = "rows differ"
        verdicts[verdict] += 1
        if verdict in ("rows differ", "error on our side only", "error on their side only") and sum(verdicts[v] for v in verdicts if v not in ("agree", "error on both")) <= a.show:
            print(f"--- query {n}: {verdict}\n{for_snowflake(sql)}\n  setup: {ours}")
            if verdict == "rows differ":
                print("  only ours  ", list((Counter(got) - Counter(want)).elements())[:3])
                print("  only theirs", list((Counter(want) - Counter(got)).elements())[:3])
            else:
                print("  ", (error or refusal)[:500])
    print(dict(verdicts))
    wrong = a.queries - verdicts["agree"] - verdicts["error on both"]
    print(f"{a.queries - wrong} passed, {wrong} failed")
    sys.exit(1 if wrong else 0)


main()
