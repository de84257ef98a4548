//! The local warehouse under `kill -9`: at every instant it holds the old set or the new one, whole.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::{AsArray, Int64Array, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema};
use pipe::dialect::types::SqlType;
use pipe::name::{Name, TableName};
use pipe::warehouse::{Change, Staged, StoredColumn, Warehouse};

const DIR: &str = "PIPE_TEST_WAREHOUSE";
const TABLES: [&str; 3] = ["ml.a", "ml.b", "other.c"];

fn staged(warehouse: &Warehouse, table: &str, round: i64) -> Staged {
    let column = StoredColumn::new(&Name::unquoted("round"), SqlType::INTEGER);
    let name = TableName::parse(table).unwrap();
    let mut writer = warehouse.stage(&name, vec![column], None).unwrap();
    let schema = Arc::new(Schema::new(vec![Field::new("ROUND", DataType::Int64, true)]));
    writer.write(&RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![round; 1000]))]).unwrap()).unwrap();
    writer.finish().unwrap()
}

/// Not a test of its own: the process that is killed. It publishes three tables again and again, each round its number.
#[test]
#[ignore = "the child of `a_killed_publisher_leaves_the_old_set_or_the_new_one`"]
fn publisher() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let warehouse = Warehouse::open(Path::new(&dir)).unwrap().keeping(3);
    let mut round = round_of(&warehouse);
    loop {
        round += 1;
        let tables = TABLES.iter().map(|table| Change::Table(staged(&warehouse, table, round))).collect();
        warehouse.publish(tables, "test").unwrap();
    }
}

/// The round that all three tables hold, read from their files as any tool would.
fn round_of(warehouse: &Warehouse) -> i64 {
    let snapshot = warehouse.snapshot().unwrap();
    if snapshot.set().is_none() {
        return 0;
    }
    let rounds: Vec<i64> =
        TABLES.iter().map(|table| round_in(&snapshot.path().join(table.replace('.', "/")))).collect();
    assert!(rounds.iter().all(|round| *round == rounds[0]), "a mix of sets: {rounds:?}");
    rounds[0]
}

fn round_in(dir: &Path) -> i64 {
    let file = std::fs::File::open(dir.join("part-0000.parquet")).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let mut values: Vec<i64> = Vec::new();
    for batch in reader {
        let rounds = cast(batch.unwrap().column(0), &DataType::Int64).unwrap();
        values.extend(rounds.as_primitive::<Int64Type>().values().iter());
    }
    assert_eq!(values.len(), 1000);
    assert!(values.iter().all(|value| *value == values[0]));
    values[0]
}

fn start(dir: &Path) -> Child {
    let program: PathBuf = std::env::current_exe().unwrap();
    Command::new(program)
        .args(["--ignored", "--exact", "warehouse::publisher"])
        .env(DIR, dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_killed_publisher_leaves_the_old_set_or_the_new_one() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join(".pipe/warehouse");
    let mut last = 0;
    let mut pause = Duration::from_millis(7);
    let started = Instant::now();
    let kills = std::env::var("PIPE_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(25);
    for kill in 0..kills {
        let mut child = start(&dir);
        // Wait for the first publish of this child, then kill it at an instant that wanders through the next ones.
        let warehouse = Warehouse::open(&dir).unwrap();
        while round_of(&warehouse) == last && started.elapsed() < Duration::from_secs(60 + kills) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(pause);
        child.kill().unwrap();
        child.wait().unwrap();
        pause = Duration::from_micros((u64::try_from(pause.as_micros()).unwrap() * 31 + 1709) % 40_000);
        let round = round_of(&Warehouse::open(&dir).unwrap());
        assert!(round > last, "kill {kill}: nothing was published");
        last = round;
    }
    let warehouse = Warehouse::open(&dir).unwrap();
    assert_eq!(warehouse.home().join("staging").read_dir().unwrap().count(), 0);
    assert!(warehouse.sets().unwrap().len() <= 4);
}
