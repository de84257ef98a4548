use std::fs;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::prelude::SessionContext;
use tempfile::TempDir;

use super::*;
use crate::dialect::types::SqlType;
use crate::name::Name;

fn warehouse() -> (TempDir, Warehouse) {
    let home = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(&home.path().join(".pipe/warehouse")).unwrap();
    (home, warehouse)
}

fn name(text: &str) -> TableName {
    TableName::parse(text).unwrap()
}

/// A NUMBER column without scale as 64-bit integers.
fn whole(column: &ArrayRef) -> ArrayRef {
    cast(column, &DataType::Int64).expect("whole numbers")
}

fn columns() -> Vec<StoredColumn> {
    vec![
        StoredColumn::new(&Name::unquoted("id"), SqlType::INTEGER),
        StoredColumn::new(&Name::unquoted("title"), SqlType::Varchar(Some(20))),
    ]
}

fn rows(ids: &[i64]) -> RecordBatch {
    let fields = vec![Field::new("ID", DataType::Int64, true), Field::new("TITLE", DataType::Utf8, true)];
    let titles: StringArray = ids.iter().map(|id| Some(format!("t{id}"))).collect();
    let ids = Int64Array::from(ids.to_vec());
    RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![Arc::new(ids), Arc::new(titles)]).unwrap()
}

fn staged(warehouse: &Warehouse, table: &str, ids: &[i64]) -> Staged {
    let mut writer = warehouse.stage(&name(table), columns(), None).unwrap();
    writer.write(&rows(ids)).unwrap();
    writer.finish().unwrap()
}

fn put(warehouse: &Warehouse, table: &str, ids: &[i64]) -> u64 {
    warehouse.publish(vec![Change::Table(staged(warehouse, table, ids))], "r1").unwrap()
}

fn ids(snapshot: &Snapshot, table: &str) -> Vec<i64> {
    let provider = snapshot.table(&name(table)).unwrap().provider("UTC").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let batches = runtime.block_on(async {
        let frame = SessionContext::new().read_table(provider).unwrap();
        frame.collect().await.unwrap()
    });
    let mut all: Vec<i64> =
        batches.iter().flat_map(|b| whole(b.column(0)).as_primitive::<Int64Type>().values().to_vec()).collect();
    all.sort_unstable();
    all
}

fn listing(dir: &std::path::Path) -> Vec<String> {
    let names = layout::entries(dir).unwrap();
    names.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn an_unpublished_warehouse_is_empty_and_makes_no_files() {
    let (home, warehouse) = warehouse();
    assert!(warehouse.tables().unwrap().is_empty());
    assert!(listing(home.path()).is_empty());
}

#[test]
fn a_published_table_is_plain_parquet_at_its_path_and_its_types_survive() {
    let (_home, warehouse) = warehouse();
    put(&warehouse, "ml.top", &[1, 2]);
    let path = warehouse.dir().join("ml/top/part-0000.parquet");
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap());
    assert_eq!(reader.unwrap().metadata().file_metadata().num_rows(), 2);
    let snapshot = warehouse.snapshot().unwrap();
    let table = snapshot.table(&name("ML.TOP")).unwrap();
    assert_eq!(table.columns()[1].sql_type(), SqlType::Varchar(Some(20)));
    assert_eq!((table.rows(), table.version(), table.object().run.as_str()), (2, 1, "r1"));
    assert_eq!(ids(&snapshot, "ml.top"), [1, 2]);
}

#[test]
fn several_changes_land_at_once_and_other_tables_stay() {
    let (_home, warehouse) = warehouse();
    put(&warehouse, "a.x", &[1]);
    put(&warehouse, "a.gone", &[9]);
    let view = Change::View { name: name("a.v"), sql: "select 1".into(), columns: columns(), comment: None };
    let changes = vec![Change::Table(staged(&warehouse, "b.y", &[2])), view, Change::Drop(name("a.gone"))];
    let set = warehouse.publish(changes, "r2").unwrap();
    let snapshot = warehouse.snapshot().unwrap();
    assert_eq!(snapshot.names(), [name("a.v"), name("a.x"), name("b.y")]);
    assert_eq!(snapshot.table(&name("a.v")).unwrap().view(), Some("select 1"));
    assert_eq!(snapshot.table(&name("a.x")).unwrap().version(), 1);
    assert_eq!(snapshot.table(&name("b.y")).unwrap().version(), set);
}

#[test]
fn appended_rows_come_after_the_old_ones_and_old_files_are_shared() {
    let (_home, warehouse) = warehouse();
    put(&warehouse, "a.x", &[1]);
    let snapshot = warehouse.snapshot().unwrap();
    let mut writer = warehouse.stage(&name("a.x"), columns(), snapshot.table(&name("a.x"))).unwrap();
    writer.write(&rows(&[2, 3])).unwrap();
    warehouse.publish(vec![Change::Table(writer.finish().unwrap())], "r2").unwrap();
    let now = warehouse.snapshot().unwrap();
    assert_eq!(ids(&now, "a.x"), [1, 2, 3]);
    assert_eq!(now.table(&name("a.x")).unwrap().rows(), 3);
    assert_eq!(ids(&snapshot, "a.x"), [1]);
}

#[test]
fn what_was_staged_and_not_published_is_removed() {
    let (_home, warehouse) = warehouse();
    drop(staged(&warehouse, "a.x", &[1]));
    assert!(listing(&warehouse.home().join("staging")).is_empty());
}

#[test]
fn leftovers_of_a_crash_are_removed_and_live_ones_are_not() {
    let (_home, warehouse) = warehouse();
    put(&warehouse, "a.x", &[1]);
    let live = staged(&warehouse, "a.y", &[2]);
    let home = warehouse.home();
    fs::create_dir_all(home.join("staging/99-0-1")).unwrap();
    fs::write(home.join("staging/99-0-1/owner"), "").unwrap();
    fs::write(home.join("staging/99-0-1/part-0000.parquet"), "half").unwrap();
    fs::create_dir_all(home.join("sets/.new-0000002/a")).unwrap();
    fs::create_dir_all(home.join("sets/0000002/a")).unwrap();
    fs::create_dir_all(home.join("tables/0000002/a.x")).unwrap();
    std::os::unix::fs::symlink("sets/0000002", home.join(".new-link")).unwrap();
    let again = Warehouse::open(warehouse.dir()).unwrap();
    assert_eq!(listing(&home.join("staging")).len(), 1);
    assert_eq!(listing(&home.join("sets")), ["0000001"]);
    assert_eq!(listing(&home.join("tables")), ["0000001"]);
    assert!(!home.join(".new-link").exists());
    assert_eq!(ids(&again.snapshot().unwrap(), "a.x"), [1]);
    assert_eq!(again.publish(vec![Change::Table(live)], "r2").unwrap(), 2);
}

#[test]
fn publishes_of_different_tables_all_land() {
    let (_home, warehouse) = warehouse();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let warehouse = &warehouse;
            scope.spawn(move || {
                for round in 0..5 {
                    put(warehouse, &format!("a.t{thread}"), &[thread, round]);
                }
            });
        }
    });
    let snapshot = warehouse.snapshot().unwrap();
    assert_eq!(snapshot.set(), Some(20));
    for thread in 0..4 {
        let mut expected = vec![thread, 4];
        expected.sort_unstable();
        assert_eq!(ids(&snapshot, &format!("a.t{thread}")), expected);
    }
}

#[test]
fn a_table_is_reserved_for_one_publisher_at_a_time() {
    let (_home, warehouse) = warehouse();
    let first = warehouse.reserve(&[name("a.x"), name("a.y")]).unwrap();
    let busy = warehouse.reserve(&[name("a.z"), name("A.X")]).unwrap_err();
    assert_eq!(busy.to_string(), format!("table `a.x` is being published by process {}", std::process::id()));
    assert!(busy.is_transient());
    let other = warehouse.reserve(&[name("a.z")]).unwrap();
    drop((first, other));
    warehouse.reserve(&[name("a.x"), name("a.z")]).unwrap();
}

#[test]
fn old_sets_are_kept_by_retention_and_readers_keep_theirs() {
    let (_home, warehouse) = warehouse();
    let warehouse = warehouse.keeping(3);
    put(&warehouse, "a.x", &[0]);
    let reader = warehouse.snapshot().unwrap();
    for round in 1..6 {
        put(&warehouse, "a.x", &[round]);
    }
    assert_eq!(listing(&warehouse.home().join("sets")), ["0000001", "0000004", "0000005", "0000006"]);
    assert_eq!(ids(&reader, "a.x"), [0]);
    drop(reader);
    put(&warehouse, "a.x", &[6]);
    assert_eq!(listing(&warehouse.home().join("sets")), ["0000005", "0000006", "0000007"]);
    assert_eq!(listing(&warehouse.home().join("tables")), ["0000005", "0000006", "0000007"]);
    assert_eq!(ids(&warehouse.snapshot_of(5).unwrap(), "a.x"), [4]);
    assert_eq!(warehouse.sets().unwrap().iter().map(|set| set.set).collect::<Vec<_>>(), [5, 6, 7]);
    assert!(matches!(warehouse.snapshot_of(1), Err(Error::UnknownSet(1))));
}

#[test]
fn rows_stay_for_as_long_as_a_set_has_them() {
    let (_home, warehouse) = warehouse();
    let warehouse = warehouse.keeping(2);
    put(&warehouse, "a.old", &[1]);
    put(&warehouse, "a.x", &[2]);
    put(&warehouse, "a.x", &[3]);
    put(&warehouse, "a.x", &[4]);
    assert_eq!(listing(&warehouse.home().join("tables")), ["0000001", "0000003", "0000004"]);
    let now = warehouse.snapshot().unwrap();
    assert_eq!((ids(&now, "a.old"), ids(&now, "a.x")), (vec![1], vec![4]));
}

#[test]
fn an_older_set_can_be_made_current_again() {
    let (_home, warehouse) = warehouse();
    put(&warehouse, "a.x", &[1]);
    put(&warehouse, "a.x", &[2]);
    put(&warehouse, "a.y", &[3]);
    assert_eq!(warehouse.roll_back(1, None, "r9").unwrap(), 4);
    let now = warehouse.snapshot().unwrap();
    assert_eq!(now.names(), [name("a.x")]);
    assert_eq!((ids(&now, "a.x"), now.table(&name("a.x")).unwrap().version()), (vec![1], 1));
    assert_eq!(warehouse.roll_back(3, Some(&[name("A.Y")]), "r10").unwrap(), 5);
    let now = warehouse.snapshot().unwrap();
    assert_eq!((ids(&now, "a.x"), ids(&now, "a.y")), (vec![1], vec![3]));
    assert_eq!(warehouse.sets().unwrap().last().unwrap().changed, ["a.y"]);
}

#[test]
fn a_damaged_file_is_named() {
    let (_home, warehouse) = warehouse();
    put(&warehouse, "a.x", &[1]);
    let table = warehouse.dir().join("a/x");
    let data = fs::read(table.join("part-0000.parquet")).unwrap();
    fs::write(table.join("part-0000.parquet"), &data[..data.len() / 2]).unwrap();
    let snapshot = warehouse.snapshot().unwrap();
    let error = snapshot.table(&name("a.x")).unwrap().provider("UTC").unwrap_err().to_string();
    assert!(error.contains("a/x/part-0000.parquet` is corrupt: it has"), "{error}");
    fs::remove_file(table.join("part-0000.parquet")).unwrap();
    let error = snapshot.table(&name("a.x")).unwrap().provider("UTC").unwrap_err().to_string();
    assert!(error.ends_with("is corrupt: it is missing"), "{error}");
    fs::write(warehouse.dir().join("set.json"), "{").unwrap();
    let error = warehouse.snapshot().unwrap_err().to_string();
    assert!(error.contains("set.json` is corrupt"), "{error}");
    Warehouse::open(warehouse.dir()).unwrap();
}

#[test]
fn a_folder_in_the_place_of_the_link_is_told_apart() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("warehouse")).unwrap();
    let warehouse = Warehouse::open(&home.path().join("warehouse")).unwrap();
    let error = warehouse.snapshot().unwrap_err().to_string();
    assert!(error.contains("it is not the link that `pipe` makes"), "{error}");
}

#[test]
fn a_disk_that_takes_nothing_is_named_and_the_old_set_stays() {
    let (_home, warehouse) = warehouse();
    put(&warehouse, "a.x", &[1]);
    // A file where a folder is due fails as a full or read-only disk does, also for the super-user.
    let staging = warehouse.home().join("staging");
    fs::remove_dir_all(&staging).unwrap();
    fs::write(&staging, "").unwrap();
    let error = warehouse.stage(&name("a.x"), columns(), None).unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot write `{}", staging.display())), "{error}");
    assert_eq!(ids(&warehouse.snapshot().unwrap(), "a.x"), [1]);
    let full = Error::write(&staging, std::io::Error::from(std::io::ErrorKind::StorageFull));
    assert!(full.to_string().contains("no space is left on the disk"));
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    let (_home, warehouse) = warehouse();
    let strict = vec![StoredColumn { nullable: false, ..columns().remove(0) }, columns().remove(1)];
    let mut writer = warehouse.stage(&name("a.x"), strict, None).unwrap();
    let null = RecordBatch::try_new(
        rows(&[1]).schema(),
        vec![Arc::new(Int64Array::from(vec![None])), Arc::new(StringArray::from(vec!["t"]))],
    );
    let error = writer.write(&null.unwrap()).unwrap_err().to_string();
    assert_eq!(error, "rows do not fit table `a.x`: NULL in column `ID`, which does not allow it");
}

#[test]
fn every_call_that_fails_leaves_the_old_set_or_the_new_one() {
    use std::io::ErrorKind;
    let tables = ["a.x", "b.y", "b.grown"];
    let mut failed = 0;
    for kind in [ErrorKind::StorageFull, ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem, ErrorKind::Other] {
        for calls in 0.. {
            let (_home, warehouse) = warehouse();
            let old: Vec<Change> = tables.iter().map(|table| Change::Table(staged(&warehouse, table, &[1]))).collect();
            warehouse.publish(old, "r1").unwrap();
            disk::faults::fail_after(Some((calls, kind)));
            let published = publish_three(&warehouse, tables);
            let reached = !disk::faults::is_to_come();
            disk::faults::fail_after(None);
            // Some calls may fail without harm, such as a link for which there is a copy; none may pass for a success.
            let now = Warehouse::open(warehouse.dir()).unwrap().snapshot().unwrap();
            let rows: Vec<Vec<i64>> = tables.iter().map(|table| ids(&now, table)).collect();
            let is_new = rows == [vec![2], vec![2], vec![1, 2]];
            assert!(
                is_new || (published.is_err() && rows == [[1], [1], [1]]),
                "{kind:?} at {calls}: {rows:?} {published:?}"
            );
            drop(now);
            publish_three(&warehouse, tables).unwrap();
            let now = warehouse.snapshot().unwrap();
            assert_eq!((ids(&now, "a.x"), ids(&now, "b.y")), (vec![2], vec![2]));
            assert!(listing(&warehouse.home().join("staging")).is_empty());
            if !reached {
                assert!(published.is_ok());
                break;
            }
            failed += 1;
        }
    }
    assert!(failed > 100, "only {failed} calls could fail");
}

/// Two tables whole, and one that takes over the file it has.
fn publish_three(warehouse: &Warehouse, tables: [&str; 3]) -> Result<u64, Error> {
    let mut changes = Vec::new();
    let snapshot = warehouse.snapshot()?;
    for (at, table) in tables.into_iter().enumerate() {
        let base = snapshot.table(&name(table)).filter(|_| at == 2);
        let mut writer = warehouse.stage(&name(table), columns(), base)?;
        writer.write(&rows(&[2]))?;
        changes.push(Change::Table(writer.finish()?));
    }
    warehouse.publish(changes, "r2")
}
