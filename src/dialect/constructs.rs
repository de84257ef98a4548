//! The constructs of Snowflake SQL besides functions, each with how faithful it is and an example that a test runs: an exact or
//! approximate one gives a result, a refused one an error at its place. `pipe sql --functions` and the README's reference
//! are made from this list. It carries nothing out.

use super::functions::Fidelity::{self, Approximate, Exact, Refused};

/// One construct.
#[derive(Clone, Copy, Debug)]
pub struct Construct {
    /// What it is about, such as `joins`.
    pub area: &'static str,
    /// Its name, as the reference shows it.
    pub name: &'static str,
    /// How faithful it is.
    pub fidelity: Fidelity,
    /// Statements that use it; of a refused one, only the last is refused.
    pub example: &'static str,
}

const fn exact(area: &'static str, name: &'static str, example: &'static str) -> Construct {
    Construct { area, name, fidelity: Exact, example }
}

const fn close(area: &'static str, name: &'static str, how: &'static str, example: &'static str) -> Construct {
    Construct { area, name, fidelity: Approximate(how), example }
}

const fn refused(area: &'static str, name: &'static str, why: &'static str, example: &'static str) -> Construct {
    Construct { area, name, fidelity: Refused(why), example }
}

const QUERIES: &str = "queries";
const JOINS: &str = "FROM and joins";
const TYPES: &str = "types and literals";
const OPERATORS: &str = "operators and predicates";
const CHANGES: &str = "DML";
const DEFINITIONS: &str = "DDL";
const SESSION: &str = "session and catalogue";

const TABLE: &str = "create table t (a int, b varchar); insert into t values (1, 'x'), (2, 'y'); ";

/// Every construct that the engine knows of.
pub fn all() -> impl Iterator<Item = &'static Construct> {
    [ALL_QUERIES, ALL_JOINS, ALL_TYPES, ALL_OPERATORS, ALL_CHANGES, ALL_DEFINITIONS, ALL_SESSION].into_iter().flatten()
}

/// The statements of a construct's example, which may read the table `t` of a number and a text.
pub fn script(construct: &Construct) -> String {
    format!("{TABLE}{}", construct.example)
}

const ALL_QUERIES: &[Construct] = &[
    exact(QUERIES, "lateral column aliases", "select a + 1 as c, c * 2 as d from t where c > 1"),
    exact(QUERIES, "`DISTINCT`, `ALL`, `TOP n`", "select distinct top 1 b from t"),
    exact(QUERIES, "`LIMIT`, `OFFSET`, `FETCH`", "select a from t order by a offset 1 rows fetch first 1 row only"),
    exact(QUERIES, "`ORDER BY` positions, `ALL`, `NULLS FIRST`", "select a from t order by all desc nulls last"),
    exact(QUERIES, "`GROUP BY`, `GROUP BY ALL`, `HAVING`", "select b, sum(a) from t group by all having sum(a) > 1"),
    exact(QUERIES, "`CUBE`, `ROLLUP`, `GROUPING SETS`", "select a, b, count(*) from t group by cube (a, b)"),
    exact(QUERIES, "`QUALIFY`", "select a from t qualify row_number() over (order by a) = 1"),
    exact(QUERIES, "`* EXCLUDE`, `REPLACE`, `RENAME`, `ILIKE`", "select * exclude b rename a as c from t"),
    exact(QUERIES, "columns by position: `$1`, `t.$1`", "select $1, t.$2 from t"),
    exact(QUERIES, "`WITH`", "with s as (select a from t) select * from s"),
    exact(
        QUERIES,
        "`WITH RECURSIVE`",
        "with recursive r as (select 1 as n union all select n + 1 from r where n < 3) select * from r",
    ),
    exact(
        QUERIES,
        "`CONNECT BY`, `PRIOR`, `LEVEL`, `CONNECT_BY_ROOT`",
        "select a, level from t start with a = 1 connect by a = prior a + 1",
    ),
    exact(QUERIES, "`UNION [ALL] [BY NAME]`", "select 1 as a, 2 as b union all by name select 3 as b, 4 as a"),
    exact(QUERIES, "`INTERSECT`, `EXCEPT`, `MINUS`", "select a from t minus select 1"),
    exact(QUERIES, "`VALUES`", "select column1, $2 from values (1, 'a'), (2, 'b')"),
    exact(
        QUERIES,
        "scalar, `EXISTS`, `IN`, `ANY`, `ALL` subqueries",
        "select a, a in (select u.a from t as u) from t where exists (select 1)",
    ),
    exact(QUERIES, "windows, named windows, frames", "select sum(a) over w from t window w as (order by a)"),
    exact(
        QUERIES,
        "`NTH_VALUE … FROM FIRST | LAST`, `IGNORE NULLS`",
        "select nth_value(a, 1) from last ignore nulls over (order by a) from t",
    ),
    exact(QUERIES, "`FOR UPDATE`", "select a from t for update"),
    refused(QUERIES, "`SELECT INTO`", "variables of Snowflake Scripting are not kept", "select a into x from t"),
    refused(
        QUERIES,
        "the flow operator `->>`",
        "run the statements one after the other",
        "select a from t ->> select 1",
    ),
];

const ALL_JOINS: &[Construct] = &[
    exact(JOINS, "inner, left, right, full, cross joins; `USING`; `NATURAL`", "select * from t natural join t as u"),
    exact(JOINS, "`ASOF JOIN … MATCH_CONDITION`", "select * from t asof join t as u match_condition (t.a >= u.a)"),
    exact(JOINS, "the outer join operator `(+)`", "select * from t, t as u where t.a = u.a(+)"),
    exact(JOINS, "`LATERAL` subqueries", "select * from t, lateral (select t.a + 1 as c) as u"),
    exact(
        JOINS,
        "`LATERAL FLATTEN`, also in chains and subqueries",
        "select f.value from t, lateral flatten(input => [1, a]) f",
    ),
    exact(JOINS, "`TABLE(f(…))`, `TABLE('name')`", "select * from table(split_to_table('a.b', '.'))"),
    exact(JOINS, "`TABLE(GENERATOR(…))` with `SEQ4()`", "select seq4() from table(generator(rowcount => 2))"),
    exact(
        JOINS,
        "`PIVOT`, with `ANY`, a subquery, `DEFAULT ON NULL`",
        "select * from t pivot (sum(a) for b in (any order by b))",
    ),
    exact(JOINS, "`UNPIVOT`, `INCLUDE NULLS`", "select * from (select 1 as x, 2 as y) unpivot (v for n in (x, y))"),
    exact(
        JOINS,
        "`TABLE(RESULT_SCAN(LAST_QUERY_ID()))`",
        "select 1 as a; select a from table(result_scan(last_query_id()))",
    ),
    exact(JOINS, "`FROM DUAL`", "select 1 from dual"),
    close(JOINS, "`SAMPLE`, `TABLESAMPLE`", "other rows are drawn than in Snowflake", "select * from t sample (50)"),
    refused(
        JOINS,
        "`SAMPLE … SEED`",
        "Snowflake's choice of rows cannot be repeated",
        "select * from t sample (50) seed (1)",
    ),
    refused(
        JOINS,
        "`GENERATOR(TIMELIMIT => …)`",
        "its rows would depend on the machine",
        "select seq4() from table(generator(timelimit => 1))",
    ),
    refused(
        JOINS,
        "time travel: `AT`, `BEFORE`, `CHANGES`",
        "older rows are not kept by time",
        "select * from t at (offset => -60)",
    ),
    refused(
        JOINS,
        "`MATCH_RECOGNIZE`",
        "it is not carried out here; window functions often can",
        "select * from t match_recognize (order by a measures 1 as m pattern (p) define p as true)",
    ),
    refused(JOINS, "stages: `FROM @stage`", "there are no stages", "select $1 from @stage"),
];

const ALL_TYPES: &[Construct] = &[
    exact(TYPES, "`NUMBER(p, s)` and its synonyms, exact", "select 1.10::number(10, 2) * 3"),
    exact(
        TYPES,
        "`FLOAT`, `VARCHAR(n)`, `BINARY(n)`, `BOOLEAN`",
        "select 1.5::float, 'ab'::varchar(2), X'ff'::binary(1), true",
    ),
    exact(
        TYPES,
        "`DATE`, `TIME(p)`, `TIMESTAMP_NTZ(p)`, `_LTZ`, `_TZ`",
        "select '2024-01-31'::date, '10:00:00.5'::time(0)",
    ),
    exact(TYPES, "`VARIANT`, `OBJECT`, `ARRAY`", "select {'a': [1, 2]}, {'a': [1, 2]}:a[0]"),
    exact(TYPES, "`VECTOR(FLOAT | INT, n)`", "select [1, 2]::vector(int, 2)"),
    close(
        TYPES,
        "structured `ARRAY(t)`, `OBJECT(n t, …)`, `MAP(VARCHAR, t)`",
        "a column of a table keeps the values but not the types of their parts, which are VARIANTs when read from it",
        "select {'k': '1'}::map(varchar, number)['k'] + 1",
    ),
    exact(
        TYPES,
        "`'…'`, `$$…$$`, `X'…'`, `DATE '…'`, `TIMESTAMP '…'` literals",
        "select $$it's$$, X'ff', date '2024-01-31'",
    ),
    exact(TYPES, "`INTERVAL '…'`", "select '2024-01-31'::date + interval '1 month, 2 days'"),
    exact(TYPES, "`CAST`, `::`, `TRY_CAST`", "select try_cast('x' as int), '1'::int"),
    refused(
        TYPES,
        "`MAP` with keys other than `VARCHAR`",
        "values rest as objects, whose keys are texts",
        "select {'1': 2}::map(number, number)",
    ),
    refused(TYPES, "`GEOGRAPHY`, `GEOMETRY`", "they are not carried out here", "select 'POINT(1 2)'::geography"),
    close(
        TYPES,
        "`x COLLATE '…'`",
        "with or without regard to case; comparing in the order of a locale's letters, and grouping without regard to case, are refused",
        "select 'a' collate 'en-ci' = 'A'",
    ),
    refused(
        TYPES,
        "`COLLATE` of a column",
        "collate the expressions that compare it",
        "create table u (a varchar collate 'en-ci')",
    ),
];

const ALL_OPERATORS: &[Construct] = &[
    exact(OPERATORS, "`+ - * / %`, `||`, comparisons, `AND OR NOT`", "select a + 1, b || '!', not a > 1 from t"),
    exact(OPERATORS, "paths: `v:a.b[0]['c']`", "select {'a': {'b': [1]}}:a.b[0]"),
    exact(
        OPERATORS,
        "`CASE`, `BETWEEN`, `IN`, also of tuples",
        "select (a, b) in ((1, 'x')), a between 1 and 2 from t",
    ),
    exact(OPERATORS, "`LIKE`, `ILIKE`, `ANY`, `ALL`, `ESCAPE`, `RLIKE`", "select b like any ('x%', 'y%') from t"),
    exact(OPERATORS, "`IS [NOT] DISTINCT FROM`, `IS TRUE`", "select a is distinct from null from t"),
    exact(OPERATORS, "lambdas of `FILTER`, `TRANSFORM`, `REDUCE`", "select filter([1, 2], x -> x > 1)"),
    exact(OPERATORS, "`{*}`, `OBJECT_CONSTRUCT(* EXCLUDE …)`", "select {*}, object_construct(* exclude a) from t"),
    exact(
        OPERATORS,
        "`IGNORE NULLS`, `WITHIN GROUP`, `DISTINCT` in calls",
        "select listagg(distinct b) within group (order by b) from t",
    ),
    refused(
        OPERATORS,
        "regular expressions with non-greedy repetitions, `(?…)`",
        "Snowflake's are POSIX",
        "select regexp_substr(b, 'x+?') from t",
    ),
];

const ALL_CHANGES: &[Construct] = &[
    exact(CHANGES, "`INSERT`, `INSERT OVERWRITE`", "insert overwrite into t (a) select 5"),
    exact(
        CHANGES,
        "`INSERT ALL`, `INSERT FIRST`",
        "insert first when a > 1 then into t else into t (a) values (0) select a, b from t",
    ),
    exact(CHANGES, "`UPDATE … FROM`", "update t set b = s.b from (select 1 as a, 'z' as b) as s where s.a = t.a"),
    exact(CHANGES, "`DELETE … USING`", "delete from t using (select 1 as a) as s where s.a = t.a"),
    exact(
        CHANGES,
        "`MERGE` with several clauses",
        "merge into t using (select 1 as a) s on t.a = s.a when matched and b = 'x' then delete when matched then update set b = 'q' when not matched then insert (a) values (s.a)",
    ),
    exact(
        CHANGES,
        "`MERGE … ALL BY NAME`",
        "merge into t using (select 1 as a, 'z' as b) s on t.a = s.a when matched then update all by name when not matched then insert all by name",
    ),
    exact(CHANGES, "`TRUNCATE`", "truncate table t"),
    exact(CHANGES, "`BEGIN`, `COMMIT`, `ROLLBACK`", "begin; delete from t; rollback; select * from t"),
    refused(CHANGES, "`COPY INTO`, `PUT`, `GET`, `LIST`", "there are no stages", "copy into t from @stage"),
];

const ALL_DEFINITIONS: &[Construct] = &[
    exact(
        DEFINITIONS,
        "`CREATE [OR REPLACE] [TEMP | TRANSIENT] TABLE`, `IF NOT EXISTS`",
        "create or replace temp table u (a int not null default 1)",
    ),
    exact(
        DEFINITIONS,
        "`CREATE TABLE … AS`, `LIKE`, `CLONE`",
        "create table u (c, d) as select * from t; create table v clone u",
    ),
    exact(
        DEFINITIONS,
        "`CREATE OR ALTER TABLE` of columns",
        "create or alter table t (a int, b varchar, c int default 1); select c from t",
    ),
    exact(
        DEFINITIONS,
        "`AUTOINCREMENT`, `DEFAULT`, `NOT NULL`",
        "create table u (a int autoincrement, b int default 2); insert into u (b) values (default)",
    ),
    close(
        DEFINITIONS,
        "`PRIMARY KEY`, `UNIQUE`, `FOREIGN KEY`",
        "kept and not enforced, as in Snowflake's own tables",
        "create table u (a int primary key rely, b int unique not enforced)",
    ),
    exact(DEFINITIONS, "`CREATE VIEW`", "create view v (c) as select a from t; select c from v"),
    exact(
        DEFINITIONS,
        "`CREATE SEQUENCE`, `NEXTVAL`, `TABLE(GETNEXTVAL(…))`",
        "create sequence s start 5; select s.nextval, n.nextval from t, table(getnextval(s)) n",
    ),
    exact(DEFINITIONS, "`CREATE SCHEMA`, `CREATE DATABASE`", "create schema s; create table s.u (a int)"),
    exact(
        DEFINITIONS,
        "`ALTER TABLE`: columns, types, defaults, `RENAME`, `SWAP WITH`",
        "alter table t add column c int default 3; alter table t rename column c to d",
    ),
    exact(DEFINITIONS, "`DROP`, `COMMENT ON`", "comment on table t is 'a table'; drop table t"),
    refused(DEFINITIONS, "`UNDROP`", "dropped objects are not kept", "drop table t; undrop table t"),
    refused(
        DEFINITIONS,
        "materialized views; dynamic, external, hybrid, Iceberg tables",
        "only plain views and tables are kept",
        "create dynamic table u target_lag = '1 minute' warehouse = w as select 1",
    ),
    refused(
        DEFINITIONS,
        "`CREATE FUNCTION`, `CREATE PROCEDURE`",
        "user-defined functions are not run here",
        "create function f(x int) returns int as 'x + 1'",
    ),
    refused(
        DEFINITIONS,
        "tasks, streams, stages, pipes, roles, warehouses, policies",
        "jobs and the project do that",
        "create task x schedule = '1 minute' as select 1",
    ),
    refused(
        DEFINITIONS,
        "computed columns: `a INT AS (…)`",
        "compute them in a view",
        "create table u (a int, b int as (a + 1))",
    ),
];

const ALL_SESSION: &[Construct] = &[
    exact(SESSION, "`SET`, `UNSET`, `$name`", "set n = 2; select * from t where a = $n"),
    exact(SESSION, "`IDENTIFIER(…)`", "set n = 't'; select * from identifier($n)"),
    exact(SESSION, "`ALTER SESSION SET`: zone, formats, week rules", "alter session set timezone = 'Europe/Berlin'"),
    exact(SESSION, "`USE` of databases, schemas, roles, warehouses", "use role analyst; select current_role()"),
    close(
        SESSION,
        "`SHOW`, `DESCRIBE`",
        "columns that say nothing of the engine are left out",
        "show tables; describe table t",
    ),
    close(
        SESSION,
        "`INFORMATION_SCHEMA`",
        "tables, views, columns, schemata, sequences, and the columns of them that the engine knows",
        "select table_name from information_schema.tables",
    ),
    refused(SESSION, "`EXPLAIN`", "plans are Snowflake's own; `pipe plan` shows what a run does", "explain select 1"),
    refused(
        SESSION,
        "Snowflake Scripting: `DECLARE`, `LET`, `EXECUTE IMMEDIATE`, `CALL`",
        "jobs do that here",
        "execute immediate 'select 1'",
    ),
    refused(SESSION, "`GRANT`, `REVOKE`", "there are no roles", "grant select on table t to role r"),
];
