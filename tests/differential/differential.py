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


def statistic(rng):
    """Aggregates that give floats, of which a few digits are compared. The spread of NUMBER has six more decimals than the
    numbers and no more, as recorded of Snowflake: floats are taken instead."""
    of = rng.choice(["a", "b", "d"])
    return rng.choice([
        f"MEDIAN({of})", f"STDDEV({of}::DOUBLE)", f"STDDEV_POP({of}::DOUBLE)", f"VARIANCE({of}::DOUBLE)", f"VAR_POP({of}::DOUBLE)", "CORR(a, b)", "COVAR_POP(a, b)", "COVAR_SAMP(a, d)",
        "REGR_SLOPE(a, b)", "REGR_INTERCEPT(b, a)", "REGR_COUNT(a, b)", "REGR_R2(a, b)", "REGR_AVGX(a, b)", f"PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY {of})",
        f"PERCENTILE_DISC(0.6) WITHIN GROUP (ORDER BY {of})", "BITAND_AGG(ABS(a))", "BITOR_AGG(ABS(a))", "BITXOR_AGG(ABS(b))", "SKEW(b)", "KURTOSIS(b)",
        "COALESCE(LISTAGG(s, '|') WITHIN GROUP (ORDER BY id), '')", "COALESCE(LISTAGG(DISTINCT s, '-') WITHIN GROUP (ORDER BY s), '')",
    ])


def known(rng):
    """Functions whose names or arguments differ, as Snowflake has them; `for_duck` says them in DuckDB's way."""
    n = rng.randint(1, 3)
    return rng.choice([
        f"SPLIT_PART(s, ' ', {n})", "REGEXP_REPLACE(s, '[ab]', 'z')", "MD5(s)", f"DATEADD(month, {rng.randint(-14, 14)}, day)",
        f"DATEADD(week, {n}, day)", "DATEDIFF(week, day, DATE '2024-03-01')", "DAYOFWEEK(day)", "DAYOFWEEKISO(day)", "WEEKISO(day)", "YEAROFWEEKISO(day)",
        "DAYOFYEAR(day)", f"MOD(a, {n + 4})", f"BITAND(ABS(a), {n})", f"BITSHIFTLEFT(ABS(a), {n})", "CHARINDEX('b', s)", "GREATEST(a, 3)",
        "INSERT(s, 1, 0, 'QQ')", "SQUARE(a)", "IFF(f, a, b)", "NVL2(s, a, b)", "ZEROIFNULL(a)", "NULLIFZERO(a)", "DECODE(a, 1, 'one', 2, 'two', NULL, 'none', 'many')",
        "TRY_TO_NUMBER(s)", "TO_CHAR(day, 'YYYY/MM/DD')", "MONTHS_BETWEEN(LAST_DAY(day), DATE '2023-01-31')", "REGEXP_SUBSTR(s, '[a-z]+')", "REGEXP_COUNT(s, '[ab]')",
        "EQUAL_NULL(a, b)", "DIV0(a, b)", "TRUNC(d, 1)", "ROUND(d, -1)", "CONCAT_WS('-', s, 'x')", "ENDSWITH(s, 'b')", "UNICODE(COALESCE(NULLIF(s, ''), 'x'))",
    ])


DUCK = [
    (r"REGEXP_REPLACE\(s, '\[ab\]', 'z'\)", "REGEXP_REPLACE(s, '[ab]', 'z', 'g')"),
    (r"DATEADD\((month|week), (-?\d+), day\)", r"CAST(day + to_\1s(\2) AS DATE)"), (r"DATEDIFF\(week, day, (DATE '[^']*')\)", r"((DATE_TRUNC('week', \1)::DATE - DATE_TRUNC('week', day)::DATE) // 7)"), (r"DAYOFWEEKISO\(", "ISODOW("),
    (r"WEEKISO\(", "WEEK("), (r"YEAROFWEEK\(", "ISOYEAR("), (r"MOD\(a, (\d+)\)", r"(a % \1)"), (r"BITAND\(ABS\(a\), (\d)\)", r"(ABS(a) & \1)"),
    (r"BITSHIFTLEFT\(ABS\(a\), (\d)\)", r"(ABS(a) << \1)"), (r"CHARINDEX\('b', s\)", "STRPOS(s, 'b')"), (r"GREATEST\(a, 3\)", "IF(a IS NULL, NULL, GREATEST(a, 3))"),
    (r"INSERT\(s, 1, 0, 'QQ'\)", "('QQ' || s)"), (r"SQUARE\(a\)", "(a * a)"), (r"\bIFF\(", "IF("),
    (r"NVL2\(s, a, b\)", "IF(s IS NOT NULL, a, b)"), (r"ZEROIFNULL\(a\)", "COALESCE(a, 0)"), (r"NULLIFZERO\(a\)", "NULLIF(a, 0)"),
    (r"DECODE\([^()]*\)", "CASE WHEN a = 1 THEN 'one' WHEN a = 2 THEN 'two' WHEN a IS NULL THEN 'none' ELSE 'many' END"),
    (r"TRY_TO_NUMBER\(s\)", "TRY_CAST(s AS BIGINT)"), (r"TO_CHAR\(day, 'YYYY/MM/DD'\)", "STRFTIME(day, '%Y/%m/%d')"),
    (r"MONTHS_BETWEEN\([^)]*\), DATE '2023-01-31'\)", "DATEDIFF('month', DATE '2023-01-31', day)"), (r"REGEXP_SUBSTR\((s, '\[a-z\]\+')\)", r"NULLIF(REGEXP_EXTRACT(\1), '')"),
    (r"REGEXP_COUNT\(s, '\[ab\]'\)", "LEN(REGEXP_EXTRACT_ALL(s, '[ab]'))"), (r"EQUAL_NULL\(a, b\)", "(a IS NOT DISTINCT FROM b)"),
    (r"DIV0\(a, b\)", "IF(b = 0, IF(a IS NULL, NULL, 0), a / b)"), (r"CONCAT_WS\('-', s, 'x'\)", "(s || '-x')"), (r"ENDSWITH\(", "ENDS_WITH("),
    (r"MEDIAN\((\w)\)", r"MEDIAN(\1::DOUBLE)"), (r"VARIANCE\(", "VAR_SAMP("), (r"(CORR|COVAR_POP|COVAR_SAMP|REGR_\w+)\((\w), (\w)\)", r"\1(\2::DOUBLE, \3::DOUBLE)"),
    (r"PERCENTILE_CONT\(0.25\) WITHIN GROUP \(ORDER BY (\w)\)", r"QUANTILE_CONT(\1::DOUBLE, 0.25)"),
    (r"PERCENTILE_DISC\(0.6\) WITHIN GROUP \(ORDER BY (\w)\)", r"QUANTILE_DISC(\1, 0.6)"), (r"BIT(AND|OR|XOR)_AGG\(", r"BIT_\1("), (r"SKEW\(b\)", "SKEWNESS(b)"),
    (r"LISTAGG\(s, '\|'\) WITHIN GROUP \(ORDER BY id\)", "STRING_AGG(s, '|' ORDER BY id)"), (r"LISTAGG\(DISTINCT s, '-'\) WITHIN GROUP \(ORDER BY s\)", "STRING_AGG(DISTINCT s, '-' ORDER BY s)"),
    (r"(FIRST|LAST|NTH)_VALUE\(([^()]*)\) IGNORE NULLS OVER", r"\1_VALUE(\2 IGNORE NULLS) OVER"), (r"LAG\((\w), 1\) IGNORE NULLS OVER", r"LAG(\1, 1 IGNORE NULLS) OVER"),
    (r"RATIO_TO_REPORT\(k\) OVER \(([^()]*)\)", r"(k / SUM(k) OVER (\1))"), (r"UNPIVOT \(v FOR n IN", "UNPIVOT (v FOR n IN"),
]


def further(rng, x, where, shape):
    """Shapes of whole queries beyond the usual ones."""
    frame = "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"
    part, order = rng.choice(["", "PARTITION BY f ", "PARTITION BY a "]), f"ORDER BY {rng.choice(['a', 'day', 's'])} NULLS LAST, id"
    if shape == "known":
        return "SELECT id, " + ", ".join(f"{known(rng)} AS c{i}" for i in range(3)) + " FROM t" + where
    if shape == "statistics":
        key = rng.choice(["", "", "f", "a"])
        return f"SELECT {key + ', ' if key else ''}" + ", ".join(f"{statistic(rng)} AS c{i}" for i in range(3)) + f" FROM t{where}" + (f" GROUP BY {key}" if key else "")
    if shape == "nested":
        return nested(rng, x, where)
    if shape == "change":
        return change(rng, x)
    if shape == "qualify":
        test = rng.choice([f"ROW_NUMBER() OVER ({part}{order}) <= 2", f"COUNT(*) OVER ({part or 'PARTITION BY s '}) > 1", f"a = MAX(a) OVER ({part})"])
        return f"SELECT id, a, {x.of('text', 2)} AS c0 FROM t{where} QUALIFY {test}"
    if shape == "groups":
        sets = rng.choice(["ROLLUP (f, a)", "CUBE (f, a)", "GROUPING SETS ((f), (a), ())", "GROUPING SETS ((f, a), (f))", "ROLLUP (f, a)"])
        having = rng.choice(["", "", " HAVING COUNT(*) > 1", " HAVING GROUPING(f) = 0"])
        return f"SELECT f, a, GROUPING(f) AS g, GROUPING(a, f) AS h, COUNT(*) AS n, SUM(b) AS c0, {aggregate(rng, Expressions(rng, {'b': 'int', 's': 'text', 'day': 'date', 'd': 'dec', 'u': 'text'}))} AS c1 FROM t{where} GROUP BY {sets}{having}"
    if shape == "correlated":
        inner = rng.choice(["SUM(k)", "COUNT(*)", "MAX(s)", "COUNT(DISTINCT s)", "MIN(day)", "COUNT(*) + 1"])
        tie = rng.choice(["r.a = t.a", "r.a = t.a AND r.s = t.s", "r.a = t.a AND r.k > 3"])
        return f"SELECT id, (SELECT {inner} FROM r WHERE {tie}) AS c0, EXISTS (SELECT 1 FROM r WHERE {tie}) AS c1 FROM t{where}"
    if shape == "series":
        return f"WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + {rng.randint(1, 3)} FROM n WHERE i < 9) SELECT t.id, COUNT(n.i) AS c0, SUM(n.i) AS c1 FROM t LEFT JOIN n ON n.i <= t.b GROUP BY t.id"
    if shape == "frames":
        f = rng.choice([
            f"FIRST_VALUE(b) IGNORE NULLS OVER ({part}{order} {frame})", f"LAST_VALUE(b) IGNORE NULLS OVER ({part}{order} {frame})",
            f"LAST_VALUE(s) IGNORE NULLS OVER ({part}{order} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)", f"NTH_VALUE(a, 2) OVER ({part}{order} {frame})",
            f"LAG(a, 1) IGNORE NULLS OVER ({part}{order})", f"COUNT(b) OVER ({part}{order} ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)", f"PERCENT_RANK() OVER ({part}ORDER BY a NULLS LAST)",
            f"CUME_DIST() OVER ({part}ORDER BY a NULLS LAST)", f"AVG(b) OVER ({part}{order} ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)", f"MIN(s) OVER ({part}{order} ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)",
            f"SUM(b) OVER ({part}ORDER BY day NULLS LAST RANGE BETWEEN INTERVAL '40 days' PRECEDING AND CURRENT ROW)", f"STDDEV(a::DOUBLE) OVER ({part})", f"COUNT(DISTINCT s) OVER ({part})",
        ])
        return f"SELECT id, {f} AS c0 FROM t" + (" WHERE day IS NOT NULL" if "RANGE" in f else where)
    if shape == "pivot":
        how = rng.choice(["SUM(b)", "COUNT(b)", "MAX(b)"])
        return rng.choice([
            f"SELECT * FROM (SELECT f, a, b FROM t{where}) AS p PIVOT ({how} FOR a IN (1, 2, 7))",
            f"SELECT id, UPPER(n) AS n, v FROM (SELECT id, a, b FROM t{where}) AS p UNPIVOT (v FOR n IN (a, b))",
        ])
    kind = rng.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
    if shape == "using":
        return f"SELECT a, t.id, r.k, COALESCE(t.s, r.s) AS c0 FROM t {kind} r USING (a)"
    return f"SELECT * FROM (SELECT a, s, id FROM t{where}) AS x NATURAL {kind} (SELECT a, s, k FROM r) AS y"


def inner(rng, x, where):
    """A query and the kinds of its columns, for another query to read."""
    kinds = {f"c{i}": rng.choice(list(SQL_TYPES)) for i in range(3)}
    shape = rng.choice(["rows", "join", "join", "group", "window", "union", "distinct"])
    if shape == "join":
        both = Expressions(rng, {**{f"t.{c}": k for c, k in TABLES["t"].items()}, **{f"r.{c}": k for c, k in TABLES["r"].items()}})
        on = rng.choice(["t.a = r.a", "t.a = r.a AND t.s = r.s", f"t.a = r.a AND {both.of('bool', 1)}"])
        kind = rng.choice(["JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        on = on if "JOIN" in kind and kind not in ("RIGHT JOIN", "FULL JOIN") else "t.a = r.a"
        columns = ", ".join(f"{both.of(k, 2)} AS {c}" for c, k in kinds.items())
        return f"SELECT t.id AS id, r.k AS k, {columns} FROM t {kind} r ON {on}", {"id": "int", "k": "int", **kinds}
    if shape == "group":
        key = rng.choice(list(SQL_TYPES))
        columns = {"n": ("COUNT(*)", "int"), "total": (f"SUM({x.of('int', 1)})", "int"), "first": (f"MIN({x.of('date', 1)})", "date"), "last": (f"MAX({x.of('text', 1)})", "text")}
        listed = ", ".join(f"{of} AS {name}" for name, (of, _) in columns.items())
        return f"SELECT {x.of(key, 1)} AS id, {listed} FROM t{where} GROUP BY 1", {"id": key, **{name: kind for name, (_, kind) in columns.items()}}
    if shape == "window":
        over = f"OVER ({rng.choice(['', 'PARTITION BY f ', 'PARTITION BY a '])}ORDER BY day NULLS LAST, id)"
        listed = f"ROW_NUMBER() {over} AS n, LAG({x.of('date', 1)}) {over} AS before, COUNT({x.of('text', 1)}) {over} AS m"
        return f"SELECT id, a, {listed} FROM t{where}", {"id": "int", "a": "int", "n": "int", "before": "date", "m": "int"}
    own = lambda of: ", ".join(f"{of.of(k, 2)} AS {c}" for c, k in kinds.items())
    if shape == "union":
        return f"SELECT id, {own(x)} FROM t{where} UNION ALL SELECT k, {own(Expressions(rng, TABLES['r']))} FROM r", {"id": "int", **kinds}
    distinct = "DISTINCT " if shape == "distinct" else ""
    return f"SELECT {distinct}id, {own(x)} FROM t{where}", {"id": "int", **kinds}


def nested(rng, x, where):
    """A query over another: conditions, joins and groups that an optimiser moves through it."""
    sql, kinds = inner(rng, x, where)
    y = Expressions(rng, {f"q.{c}": k for c, k in kinds.items()})
    test, kind = y.of("bool", 2), rng.choice(list(SQL_TYPES))
    return rng.choice([
        lambda: f"SELECT q.id, {y.of(kind, 2)} AS z FROM ({sql}) AS q WHERE {test}",
        lambda: f"SELECT COUNT(*) AS n, COUNT(z) AS m FROM (SELECT {y.of(kind, 1)} AS z FROM ({sql}) AS q WHERE {test}) AS w",
        lambda: f"SELECT {y.of(kind, 1)} AS g, COUNT(*) AS n FROM ({sql}) AS q GROUP BY 1 HAVING COUNT(*) > 1 OR MIN(q.id) IS NULL",
        lambda: f"WITH q AS ({sql}) SELECT q.id, p.id AS other FROM q JOIN q AS p ON q.id = p.id AND {test}",
        lambda: f"WITH q AS ({sql}) SELECT q.id, (SELECT COUNT(*) FROM q AS p WHERE p.id = q.id) AS n FROM q WHERE {test}",
        lambda: f"WITH q AS ({sql}) SELECT q.id FROM q WHERE EXISTS (SELECT 1 FROM q AS p WHERE p.id = q.id AND {test.replace('q.', 'p.')})",
        lambda: f"WITH q AS ({sql}) SELECT t.id, q.id AS other FROM t LEFT JOIN q ON t.a = t.b AND {y.of('bool', 1)} WHERE t.id < 5",
    ])()


DOC = """'{"a": ' || COALESCE(a::VARCHAR, 'null') || ', "s": ["x", {"k": ' || id || '}, null], "t": "' || REPLACE(COALESCE(u, 'z'), '''', '') || '"}'"""
JSON = [
    ("v:a::INT", "(v->>'$.a')::BIGINT"), ("v:s[1].k::INT", "(v->>'$.s[1].k')::BIGINT"), ("v:t::VARCHAR", "v->>'$.t'"), ("ARRAY_SIZE(v:s)", "json_array_length(v, '$.s')"),
    ("GET_PATH(v, 's[0]')::VARCHAR", "v->>'$.s[0]'"), ("v:nope", "NULL"), ("IS_NULL_VALUE(v:a)", "a IS NULL"), ("v:a > 3", "(v->>'$.a')::BIGINT > 3"), ("v:s[2] IS NULL", "FALSE"),
    ("v['s'][1]['k'] = id", "TRUE"), ("ARRAY_CONTAINS('x'::VARIANT, v:s)", "TRUE"), ("OBJECT_KEYS(v)[1]::VARCHAR", "'s'"), ("TYPEOF(v:s)", "'ARRAY'"), ("v:a::INT + v:s[1].k", "(v->>'$.a')::BIGINT + id"),
    ("COALESCE(v:x.y::VARCHAR, 'none')", "'none'"), ("LENGTH(v:t)", "LENGTH(v->>'$.t')"), ("IFF(v:t = 'ab', 1, 0)", "IF(v->>'$.t' = 'ab', 1, 0)"), ("TRY_TO_NUMBER(v:t::VARCHAR)", "NULL"),
]
TIMES = [
    ("DATE_TRUNC('hour', x)", "DATE_TRUNC('hour', x)"), ("DATEDIFF('hour', x, '2024-01-01'::TIMESTAMP)", "DATEDIFF('hour', x, '2024-01-01'::TIMESTAMP)"), ("EXTRACT(MINUTE FROM x)", "EXTRACT(MINUTE FROM x)"),
    ("TO_CHAR(x, 'DD.MM.YYYY HH24:MI:SS')", "STRFTIME(x, '%d.%m.%Y %H:%M:%S')"), ("TIME_SLICE(x, 15, 'MINUTE')", "TIME_BUCKET(INTERVAL '15 minutes', x)"), ("x::DATE", "x::DATE"), ("TO_TIME(x)::VARCHAR", "x::TIME::VARCHAR"),
    ("DATE_PART('epoch_second', x)", "EPOCH(x)::BIGINT"), ("LAST_DAY(x)", "LAST_DAY(x)"), ("DAYNAME(x)", "LEFT(DAYNAME(x), 3)"), ("MONTHNAME(x)", "LEFT(MONTHNAME(x), 3)"),
    ("DATEADD('second', -1, x)", "x - INTERVAL 1 SECOND"), ("TIMESTAMPDIFF(day, x, day)", "DATEDIFF('day', x, day)"), ("x > day", "x > day"),
    ("DATE_TRUNC('quarter', x)::DATE", "DATE_TRUNC('quarter', x)::DATE"), ("HOUR(x) * 60 + MINUTE(x)", "HOUR(x) * 60 + MINUTE(x)"), ("x BETWEEN '2023-12-31' AND '2024-03-01'", "x BETWEEN TIMESTAMP '2023-12-31' AND TIMESTAMP '2024-03-01'"),
    ("TO_TIMESTAMP(TO_CHAR(x, 'YYYYMMDDHH24MISS'), 'YYYYMMDDHH24MISS') = x", "x IS NOT NULL OR NULL"), ("DATEDIFF('second', day, x)", "DATEDIFF('second', day, x)"),
]


def both_ways(rng, shape):
    """A query as Snowflake has it and as DuckDB does."""
    where = rng.choice(["", " WHERE a > 1", " WHERE s IS NOT NULL"])
    if shape == "flatten":
        split = rng.choice(["' '", "'b'"])
        outer = rng.random() < 0.4
        parts = f"(SELECT id, a, STRING_SPLIT(s, {split}) AS p FROM t{where}) AS x {'LEFT ' if outer else ''}JOIN LATERAL (SELECT UNNEST(RANGE(1, LEN(p) + 1)) AS i) AS y ON TRUE"
        ours = f"(SELECT id, a, SPLIT(s, {split}) AS p FROM t{where}) AS x, LATERAL FLATTEN(input => x.p, outer => {str(outer).upper()}) AS f"
        return rng.choice([
            (f"SELECT x.id, f.index, f.value::VARCHAR AS v FROM {ours}", f"SELECT x.id, i - 1, p[i] FROM {parts}"),
            (f"SELECT f.value::VARCHAR AS v, COUNT(*) AS n, MAX(x.a) AS m FROM {ours} GROUP BY 1", f"SELECT p[i] AS v, COUNT(*), MAX(x.a) FROM {parts} GROUP BY 1"),
            (f"SELECT x.id, LISTAGG(f.value::VARCHAR, '+') WITHIN GROUP (ORDER BY f.index) AS v FROM {ours} GROUP BY x.id",
             f"SELECT x.id, COALESCE(STRING_AGG(p[i], '+' ORDER BY i), '') FROM {parts} GROUP BY x.id"),
        ])
    pairs = [rng.choice(JSON if shape == "json" else TIMES) for _ in range(3)]
    ours, theirs = (", ".join(f"{pair[at]} AS c{i}" for i, pair in enumerate(pairs)) for at in (0, 1))
    if shape == "json":
        return (f"SELECT id, {ours} FROM (SELECT *, PARSE_JSON({DOC}) AS v FROM t{where}) AS w", f"SELECT id, {theirs} FROM (SELECT *, ({DOC})::JSON AS v FROM t{where}) AS w")
    inner = "SELECT *, {} AS x FROM t" + where
    return (f"SELECT id, {ours} FROM ({inner.format('DATEADD(minute, a * 37, day::TIMESTAMP)')}) AS w",
            f"SELECT id, {theirs} FROM ({inner.format('(day::TIMESTAMP + TO_MINUTES((a * 37)::BIGINT))')}) AS w")


def change(rng, x):
    """A statement that changes `t`, and what `t` is then."""
    by_key = "(SELECT a, MAX(k) AS k, MAX(s) AS s, MIN(day) AS day FROM r GROUP BY a)"
    q = Expressions(rng, {**{f"t.{c}": k for c, k in TABLES["t"].items()}, "q.a": "int", "q.k": "int", "q.s": "text", "q.day": "date"})
    r = Expressions(rng, TABLES["r"])
    merge = f"MERGE INTO t USING {by_key} AS q ON t.id = q.k"
    matched = rng.choice([f" WHEN MATCHED AND {q.of('bool', 1)} THEN DELETE", f" WHEN MATCHED AND {q.of('bool', 1)} THEN UPDATE SET b = q.k, u = q.s", ""])
    update = rng.choice([f" WHEN MATCHED THEN UPDATE SET a = {q.of('int', 1)}, s = q.s", " WHEN MATCHED THEN DELETE", ""])
    insert = rng.choice([" WHEN NOT MATCHED THEN INSERT (id, a, s) VALUES (q.k, q.a, q.s)", " WHEN NOT MATCHED AND q.k > 4 THEN INSERT (id, day) VALUES (q.k, q.day)", ""])
    statement = rng.choice([
        f"UPDATE t SET a = {x.of('int', 2)}, s = {x.of('text', 2)} WHERE {x.of('bool', 2)}", f"UPDATE t SET day = {x.of('date', 1)}, f = {x.of('bool', 2)}",
        f"UPDATE t SET a = q.k, u = {q.of('text', 1)} FROM {by_key} AS q WHERE t.a = q.a", f"DELETE FROM t WHERE {x.of('bool', 2)}",
        f"DELETE FROM t USING r AS q WHERE t.a = q.a AND t.id > q.k", f"INSERT INTO t (id, a, s, day) SELECT k + 100, {r.of('int', 1)}, {r.of('text', 1)}, {r.of('date', 1)} FROM r WHERE {r.of('bool', 1)}",
        *([merge + matched + update + insert] * 3 if matched or update or insert else []),
    ])
    return f"{statement};\nSELECT id, a, b, d, s, u, day, f FROM t"


FURTHER = ["known", "known", "statistics", "statistics", "qualify", "groups", "correlated", "series", "frames", "frames", "pivot", "using", "natural", "flatten"] + 8 * ["nested"] + 2 * ["json", "times", "change"]


def query(rng):
    x = Expressions(rng, TABLES["t"])
    where = f" WHERE {x.of('bool', 3)}" if rng.random() < 0.6 else ""
    kinds = list(SQL_TYPES)
    if rng.random() < 0.5:
        shape = rng.choice(FURTHER)
        return both_ways(rng, shape) if shape in ("json", "times", "flatten") else further(rng, x, where, shape)
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
    for ours, theirs in DUCK:
        sql = re.sub(ours, theirs, sql)
    sql = re.sub(asof, lambda m: f"ASOF LEFT JOIN r ON {m[1]}" + (f" AND {m[2]}" if m[2] else ""), sql)
    return sql.replace("STARTSWITH(", "STARTS_WITH(").replace("NUMBER(10,2)", "DECIMAL(10,2)").replace("COUNT_IF(", "COUNT(*) FILTER (WHERE ")


def for_snowflake(sql):
    return sql.replace("BOOL_AND(", "BOOLAND_AGG(").replace("BOOL_OR(", "BOOLOR_AGG(")


def cell(value):
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float) and value != value:
        return None  # What is not defined is NULL on one side and NaN on the other.
    if isinstance(value, (int, float, Decimal)):
        return round(float(value), 6) + 0.0
    return re.sub(r"^(\d{4}-\d\d-\d\d)T", r"\1 ", str(value))


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
        sql, duck = sql if isinstance(sql, tuple) else (sql, for_duck(sql))
        got, error = run_pipe(a.pipe, ours + [for_snowflake(sql)])
        want, refusal = run_duck(theirs, duck)
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
