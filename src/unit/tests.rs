use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::logical_expr::TableSource;

use super::engine::{Engine, Memory};
use super::update::scalar;
use super::value;
use crate::dialect::session::SessionParameters;
use crate::dialect::types::SqlType;
use crate::dialect::{Column, Dialect, Tables, parse};
use crate::name::{Name, TableName};
use crate::plan::{InputTable, Origin};
use crate::text::SourceFile;

fn schema() -> SchemaRef {
    let (id, word) = (Field::new("ID", DataType::Int64, true), Field::new("WORD", DataType::Utf8, true));
    Arc::new(Schema::new(vec![id, word]))
}

struct Two;

impl Tables for Two {
    fn table(&self, name: &TableName) -> Option<Arc<dyn TableSource>> {
        Some(Arc::new(InputTable { origin: Origin::Table(name.clone()), schema: schema() }))
    }

    fn names(&self) -> Vec<TableName> {
        Vec::new()
    }
}

fn memory(a: &[i64], b: &[i64]) -> Arc<Memory> {
    let table = |name: &str, ids: &[i64]| {
        let words = StringArray::from_iter_values(ids.iter().map(|id| format!("w{}", id % 3)));
        let batch = RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(ids.to_vec())), Arc::new(words)]);
        (Origin::Table(TableName::bare(Name::unquoted(name))), vec![batch.expect("a batch")])
    };
    Memory::new(HashMap::from([table("a", a), table("b", b)]))
}

/// A plan that is run again must know nothing of the rows it had before, whatever its operators keep.
#[tokio::test]
async fn a_plan_run_again_gives_what_a_new_one_gives() {
    let dialect = Dialect::new(SessionParameters::default());
    let session = value::parameters("UTC");
    let inputs: [(&[i64], &[i64]); 4] =
        [(&[1, 2, 3, 4], &[2, 3, 9]), (&[], &[5]), (&[7, 7, 8], &[8, 7]), (&[1, 2], &[])];
    for sql in [
        "select a.id, b.word from a join b on a.id = b.id",
        "select a.id, b.id as other from a left join b on a.id < b.id",
        "select a.id, b.id as other from a full outer join b on a.word = b.word",
        "select a.id, b.id as other from a cross join b",
        "select id from a where id > (select avg(id) from b)",
        "select id, (select max(id) from b) as top from a",
        "select id from a where exists (select 1 from b where b.id = a.id)",
        "select id from a where id not in (select id from b)",
        "select id from a union select id from b",
        "select id from a intersect select id from b",
        "with recursive r as (select min(id) as n from a union all select n + 1 from r where n < 5) select n from r",
        "select word, count(*) as n, sum(id) as total from a group by word having count(*) > 0",
        "select id, row_number() over (partition by word order by id) as n, sum(id) over (order by id) as s from a",
        "select id from a order by id desc limit 2",
        "select distinct word from a",
        "select a.id, b.id as other from a asof join b match_condition (a.id >= b.id)",
        "select a.id, f.value as part from a, lateral flatten(input => split(a.word, 'w')) as f",
        "select listagg(word, ',') within group (order by id) as words from a",
    ] {
        let statement = &parse(&SourceFile::new("t", sql)).expect("SQL")[0];
        let plan = dialect.bind(statement, &Two).unwrap_or_else(|problems| panic!("{sql}: {problems:?}"));
        let kept = Engine::new(&dialect);
        for (a, b) in inputs.iter().chain(&inputs) {
            let memory = memory(a, b);
            let again = kept.rows((0, 0), &plan, &memory).await.expect(sql);
            let fresh = Engine::new(&dialect).rows((0, 0), &plan, &memory).await.expect(sql);
            let columns: Vec<usize> = (0..plan.schema().fields().len()).collect();
            let mut rows = [again, fresh].map(|rows| value::rows(&rows, &columns, &session).expect("texts"));
            rows.iter_mut().for_each(|rows| rows.sort());
            assert_eq!(rows[0], rows[1], "{sql} over {a:?} and {b:?}");
        }
    }
}

#[test]
fn texts_are_quoted_where_yaml_would_read_something_else() {
    let column = |sql_type| Column { name: Name::unquoted("x"), sql_type, nullable: true };
    let text = column(SqlType::TEXT);
    for (value, written) in [
        ("plain words", "plain words"),
        ("a: b", "'a: b'"),
        ("a, b", "'a, b'"),
        ("12", "'12'"),
        ("true", "'true'"),
        ("", "''"),
        ("it's", "it's"),
        ("'x'", "'''x'''"),
        ("# no", "'# no'"),
        ("a\tb", "\"a\\tb\""),
        ("Cinéma", "Cinéma"),
        ("*x", "'*x'"),
    ] {
        assert_eq!(scalar(Some(value), &text), written);
    }
    assert_eq!(scalar(None, &text), "null");
    assert_eq!(scalar(Some("1.50"), &column(SqlType::INTEGER)), "1.50");
    assert_eq!(scalar(Some("2026-11-02 20:00:00"), &column(SqlType::TimestampNtz)), "2026-11-02 20:00:00");
}
