//! Tables that grow: each strategy, held against the whole history computed at once; intervals, schema changes, snapshots.

use crate::project::Project;

const COLUMNS: &str = "id: number, who: varchar, day: date, amount: number, gone: boolean";

/// A source of events, and a table of them that grows by this block.
fn project(sql: &str, block: &str) -> Project {
    Project::new().source("event", COLUMNS, "id,who,day,amount,gone\n").job("grow", &steps(sql, block))
}

fn steps(sql: &str, block: &str) -> String {
    format!(
        "  grown:\n    publish: out.grown\n    sql: |\n      {sql}\n    materialize: incremental\n    incremental: {block}\n"
    )
}

/// Random numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// One event.
#[derive(Clone, Debug)]
struct Event {
    id: u64,
    who: String,
    day: u64,
    amount: u64,
    gone: bool,
}

impl Event {
    fn of(dice: &mut Dice, day: u64) -> Self {
        // Most belong to their day; some come late.
        let late = if dice.roll(4) == 0 { dice.roll(3) } else { 0 };
        let who = ["ann", "bob", "cleo", "dan"][usize::try_from(dice.roll(4)).expect("small")].to_owned();
        let day = day.saturating_sub(late).max(1);
        Self { id: dice.roll(12), who, day, amount: dice.roll(100), gone: dice.roll(5) == 0 }
    }

    fn line(&self) -> String {
        format!("{},{},2026-11-{:02},{},{}\n", self.id, self.who, self.day, self.amount, self.gone)
    }
}

fn csv(events: &[Event]) -> String {
    let lines: String = events.iter().map(Event::line).collect();
    format!("id,who,day,amount,gone\n{lines}")
}

/// The day's events, with some that are there twice.
fn events(dice: &mut Dice, day: u64) -> Vec<Event> {
    let mut events: Vec<Event> = (0..5 + dice.roll(6)).map(|_| Event::of(dice, day)).collect();
    let twice = events[0].clone();
    events.push(twice);
    events
}

fn row(event: &Event) -> String {
    format!("{}|{}|2026-11-{:02}|{}|{}", event.id, event.who, event.day, event.amount, event.gone)
}

fn run(project: &Project, words: &str) {
    let ran = project.pipe(words);
    assert_eq!(ran.code, 0, "{words}: {}", ran.err);
}

#[test]
fn appended_rows_are_all_that_ever_came() {
    let project = project("select * from raw.event", "{strategy: append}");
    let (mut dice, mut all) = (Dice(1), Vec::new());
    for day in 1..6 {
        let new = events(&mut dice, day);
        project.write("data/raw/event.csv", &csv(&new));
        run(&project, "run grow");
        all.extend(new.iter().map(row));
        all.sort();
        assert_eq!(project.rows("out.grown"), all);
        let again = project.pipe("run grow");
        assert!(again.err.contains("nothing to do"), "{}", again.err);
    }
}

#[test]
fn merged_rows_are_the_last_of_each_key() {
    let sql = "select * from raw.event qualify row_number() over (partition by id order by day desc, amount desc, who, gone) = 1";
    let project = project(sql, "{strategy: merge, key: id, delete_when: new.gone}");
    let newest = |events: &[Event]| {
        let mut kept = std::collections::BTreeMap::new();
        for event in events {
            let order = |e: &Event| (std::cmp::Reverse(e.day), std::cmp::Reverse(e.amount), e.who.clone(), e.gone);
            let old: &mut Event = kept.entry(event.id).or_insert_with(|| event.clone());
            if order(event) < order(old) {
                *old = event.clone();
            }
        }
        kept
    };
    let (mut dice, mut all) = (Dice(2), std::collections::BTreeMap::new());
    for day in 1..8 {
        let new = events(&mut dice, day);
        project.write("data/raw/event.csv", &csv(&new));
        run(&project, "run grow");
        for (id, event) in newest(&new) {
            if event.gone { drop(all.remove(&id)) } else { drop(all.insert(id, event)) }
        }
        let mut expected: Vec<String> = all.values().map(row).collect();
        expected.sort();
        assert_eq!(project.rows("out.grown"), expected, "day {day}");
    }
}

#[test]
fn a_condition_and_a_list_say_what_a_merge_overwrites() {
    let block =
        "{strategy: merge, key: id, update: [day, amount], update_when: new.day > old.day, delete_when: new.gone}";
    let project = project("select * from raw.event", block);
    let rounds = [
        (
            "1,ann,2026-11-03,1,false\n2,bob,2026-11-03,2,false\n3,dan,2026-11-03,3,false\n",
            vec!["1|ann|2026-11-03|1|false", "2|bob|2026-11-03|2|false", "3|dan|2026-11-03|3|false"],
        ),
        // 1 is older than what is there, 2 is newer but keeps its name, 3 goes, 4 is gone before it came, 5 is new.
        (
            "1,x,2026-11-02,9,false\n2,y,2026-11-04,8,false\n3,z,2026-11-01,0,true\n4,w,2026-11-04,4,true\n5,eve,2026-11-04,5,false\n",
            vec!["1|ann|2026-11-03|1|false", "2|bob|2026-11-04|8|false", "5|eve|2026-11-04|5|false"],
        ),
    ];
    for (rows, expected) in rounds {
        project.write("data/raw/event.csv", &format!("id,who,day,amount,gone\n{rows}"));
        run(&project, "run grow");
        assert_eq!(project.rows("out.grown"), expected);
    }
    project.write("data/raw/event.csv", "id,who,day,amount,gone\n1,a,2026-11-05,1,false\n1,b,2026-11-06,1,false\n");
    let twice = project.pipe("run grow");
    assert!(twice.code == 1 && twice.err.contains("keys (id) occur more than once"), "{}", twice.err);
    assert_eq!(project.rows("out.grown").len(), 3);
}

#[test]
fn rows_take_the_place_of_those_with_their_keys_or_in_their_partitions() {
    for block in ["{strategy: delete_insert, key: who}", "{strategy: insert_overwrite, partition_by: who}"] {
        let project = project("select * from raw.event where not gone", block);
        let (mut dice, mut all) = (Dice(3), Vec::<Event>::new());
        for day in 1..7 {
            let mut new = events(&mut dice, day);
            if day == 3 {
                new[0].who = String::new();
            }
            project.write("data/raw/event.csv", &csv(&new));
            run(&project, "run grow");
            new.retain(|event| !event.gone);
            all.retain(|old| !new.iter().any(|event| event.who == old.who));
            all.extend(new);
            let mut expected: Vec<String> = all.iter().map(row).collect();
            expected.sort();
            assert_eq!(project.rows("out.grown"), expected, "{block}, day {day}");
        }
    }
}

const BY_DAY: &str = "{strategy: interval, time: day, since: 2026-11-01, lookback: 2, batch_size: 2}";
const OF_INTERVAL: &str = "select day, count(distinct id) as ids, sum(amount) as amount from raw.event where day >= {{ interval.start }} and day < {{ interval.end }} group by day";

#[test]
fn a_table_built_by_intervals_is_what_a_full_rebuild_gives() {
    let project = project(OF_INTERVAL, BY_DAY);
    let (mut dice, mut all) = (Dice(4), Vec::<Event>::new());
    for day in 1..10 {
        all.extend(events(&mut dice, day));
        // Within the lookback rows also go.
        all.retain(|event| event.day + 1 < day || dice.roll(6) > 0);
        project.write("data/raw/event.csv", &csv(&all));
        if day == 5 {
            continue; // A day without a run.
        }
        run(&project, &format!("run grow --date 2026-11-{:02}", day + 1));
        let grown = project.rows("out.grown");
        let fresh = self::project(OF_INTERVAL, BY_DAY);
        fresh.write("data/raw/event.csv", &csv(&all));
        run(&fresh, &format!("run grow --date 2026-11-{:02}", day + 1));
        assert_eq!(grown, fresh.rows("out.grown"), "day {day}");
    }
}

#[test]
fn gaps_are_shown_and_filled_and_old_intervals_are_left_alone() {
    let project = project(OF_INTERVAL, BY_DAY);
    let rows: String = (1..10).map(|day| format!("{day},ann,2026-11-{day:02},{day},false\n")).collect();
    project.write("data/raw/event.csv", &format!("id,who,day,amount,gone\n{rows}"));
    run(&project, "run grow --date 2026-11-10 --from 2026-11-04 --to 2026-11-05");
    assert_eq!(project.rows("out.grown"), ["2026-11-04|1|4", "2026-11-05|1|5"]);
    let plan = project.pipe("plan grow --date 2026-11-10");
    assert!(plan.out.contains("run   grow.grown  4 intervals, 2026-11-06 to 2026-11-09"), "{}", plan.out);
    assert!(plan.out.contains("gap   grow.grown  2026-11-01 to 2026-11-03; --missing fills it"), "{}", plan.out);
    run(&project, "run grow --date 2026-11-10");
    assert_eq!(project.rows("out.grown").len(), 6);
    run(&project, "run grow --date 2026-11-10 --missing");
    assert_eq!(project.rows("out.grown").len(), 9);
    let done = project.pipe("run grow --date 2026-11-10");
    assert!(done.err.contains("nothing to do"), "{}", done.err);
    // Only what is within the lookback is read again; the rest on request.
    project.write("data/raw/event.csv", &format!("id,who,day,amount,gone\n{}", rows.replace(",false", "0,false")));
    run(&project, "run grow --date 2026-11-10");
    let amounts = |project: &Project| project.rows("out.grown").iter().map(|row| row.len()).collect::<Vec<_>>();
    assert_eq!(amounts(&project), [14, 14, 14, 14, 14, 14, 14, 15, 15]);
    run(&project, "run grow --date 2026-11-10 --from 2026-11-01 --to 2026-11-02");
    assert_eq!(amounts(&project), [15, 15, 14, 14, 14, 14, 14, 15, 15]);
}

#[test]
fn changed_sql_names_what_it_makes_outdated_and_goes_on_only_on_request() {
    let project = project(OF_INTERVAL, BY_DAY);
    project.write("data/raw/event.csv", "id,who,day,amount,gone\n1,ann,2026-11-01,5,false\n2,ann,2026-11-02,6,false\n");
    run(&project, "run grow --date 2026-11-02");
    let steps = format!("job: grow\nsteps:\n{}", steps(&OF_INTERVAL.replace("sum(", "2 * sum("), BY_DAY));
    project.write("pipelines/grow.yaml", &steps);
    let asked = project.pipe("run grow --date 2026-11-03");
    assert_eq!(asked.code, 2, "{}", asked.err);
    for part in ["has changed since its intervals 2026-11-01 were built", "--full-refresh", "--forward-only"] {
        assert!(asked.err.contains(part), "{part}: {}", asked.err);
    }
    assert_eq!(project.rows("out.grown"), ["2026-11-01|1|5"]);
    run(&project, "run grow --date 2026-11-03 --forward-only");
    assert_eq!(project.rows("out.grown"), ["2026-11-01|1|5", "2026-11-02|1|12"]);
    run(&project, "run grow --date 2026-11-03 --full-refresh");
    assert_eq!(project.rows("out.grown"), ["2026-11-01|1|10", "2026-11-02|1|12"]);
}

#[test]
fn rows_that_are_not_of_their_interval_are_told_and_nothing_is_published() {
    let project = project("select day, id from raw.event where day >= {{ interval.start }}", BY_DAY);
    project.write("data/raw/event.csv", "id,who,day,amount,gone\n1,ann,2026-11-01,5,false\n2,ann,2026-11-09,6,false\n");
    let ran = project.pipe("run grow --date 2026-11-02");
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("1 of the rows built for 2026-11-01 are not of it by `day`"), "{}", ran.err);
    assert!(project.rows("out.grown").is_empty());
}

#[test]
fn internal_steps_know_the_interval_of_the_one_that_reads_them() {
    let steps = format!(
        "  mine:\n    sql: select * from raw.event where day >= {{{{ interval.start }}}} and day < {{{{ interval.end }}}}\n  \
         sums:\n    sql: select day, sum(amount) as amount from mine group by day\n  \
         grown:\n    publish: out.grown\n    sql: select s.day, s.amount, count(*) as n from sums as s join mine as m using (day) group by s.day, s.amount\n    \
         materialize: incremental\n    incremental: {BY_DAY}\n"
    );
    let project = Project::new().source("event", COLUMNS, "id,who,day,amount,gone\n").job("grow", &steps);
    let rows: String = (1..6).map(|day| format!("{day},ann,2026-11-{day:02},{day},false\n")).collect();
    project.write("data/raw/event.csv", &format!("id,who,day,amount,gone\n{rows}"));
    run(&project, "run grow --date 2026-11-05");
    assert_eq!(project.rows("out.grown"), ["2026-11-01|1|1", "2026-11-02|2|1", "2026-11-03|3|1", "2026-11-04|4|1"]);
    run(&project, "run grow --date 2026-11-06");
    assert_eq!(project.rows("out.grown").len(), 5);
    let outside = project.pipe("validate");
    assert_eq!(outside.code, 0, "{}", outside.err);
    let wrong = format!("{steps}  other:\n    publish: out.other\n    sql: select * from mine\n");
    project.write("pipelines/grow.yaml", &format!("job: grow\nsteps:\n{wrong}"));
    let told = project.pipe("validate grow");
    assert!(told.code == 2 && told.err.contains("`grow.mine` has the rows of one interval"), "{}", told.err);
}

#[test]
fn a_table_that_grows_can_read_what_it_has() {
    let sql =
        "select id, who, day, amount, gone from raw.event where id > (select coalesce(max(id), 0) from out.grown)";
    let steps = steps(sql, "{strategy: append}").replace("    sql:", &format!("    columns: {{{COLUMNS}}}\n    sql:"));
    let project = Project::new().source("event", COLUMNS, "id,who,day,amount,gone\n").job("grow", &steps);
    for last in [2, 5] {
        let rows: String = (1..=last).map(|id| format!("{id},ann,2026-11-01,1,false\n")).collect();
        project.write("data/raw/event.csv", &format!("id,who,day,amount,gone\n{rows}"));
        run(&project, "run grow");
        assert_eq!(project.rows("out.grown").len(), last);
    }
}

#[test]
fn columns_that_come_and_go_follow_the_rule() {
    let block = |rule: &str| format!("{{strategy: append, schema_change: {rule}}}");
    let write = |project: &Project, sql: &str, rule: &str| {
        project.write("pipelines/grow.yaml", &format!("job: grow\nsteps:\n{}", steps(sql, &block(rule))));
    };
    let project = project("select id, who from raw.event", &block("fail"));
    project.write("data/raw/event.csv", "id,who,day,amount,gone\n1,ann,2026-11-01,5,false\n");
    run(&project, "run grow");
    write(&project, "select id, who, amount from raw.event", "fail");
    let refused = project.pipe("run grow");
    assert!(refused.code == 2 && refused.err.contains("`amount` is new"), "{}", refused.err);
    write(&project, "select id, who, amount from raw.event", "append_new_columns");
    run(&project, "run grow");
    assert_eq!(project.rows("out.grown"), ["1|ann|", "1|ann|5"]);
    write(&project, "select id, amount from raw.event", "append_new_columns");
    let refused = project.pipe("run grow");
    assert!(refused.code == 2 && refused.err.contains("`who` is gone"), "{}", refused.err);
    write(&project, "select id, amount from raw.event", "sync");
    run(&project, "run grow");
    assert_eq!(project.rows("out.grown"), ["1|", "1|5", "1|5"]);
}

#[test]
fn a_snapshot_keeps_every_state_with_its_time() {
    let steps = "  kept:\n    publish: out.kept\n    sql: select id, who, amount from raw.event\n    materialize: snapshot\n    snapshot: {key: id}\n";
    let project = Project::new().source("event", COLUMNS, "id,who,day,amount,gone\n").job("keep", steps);
    let day = |day: u32, rows: &str| {
        project.write("data/raw/event.csv", &format!("id,who,day,amount,gone\n{rows}"));
        run(&project, &format!("run keep --date 2026-11-{day:02}"));
        project.rows("out.kept")
    };
    let first = day(1, "1,ann,2026-11-01,5,false\n2,bob,2026-11-01,6,false\n");
    assert_eq!(first, ["1|ann|5|2026-11-01T00:00:00|", "2|bob|6|2026-11-01T00:00:00|"]);
    let second = day(2, "1,ann,2026-11-01,7,false\n3,cleo,2026-11-01,1,false\n");
    let expected = [
        "1|ann|5|2026-11-01T00:00:00|2026-11-02T00:00:00",
        "1|ann|7|2026-11-02T00:00:00|",
        "2|bob|6|2026-11-01T00:00:00|2026-11-02T00:00:00",
        "3|cleo|1|2026-11-02T00:00:00|",
    ];
    assert_eq!(second, expected);
    let third = day(4, "1,ann,2026-11-01,7,false\n2,bob,2026-11-01,6,false\n3,cleo,2026-11-01,1,false\n");
    assert!(third.contains(&"2|bob|6|2026-11-04T00:00:00|".to_owned()) && third.len() == 5, "{third:?}");
    project.write("data/raw/event.csv", "id,who,day,amount,gone\n1,x,2026-11-01,7,false\n");
    let past = project.pipe("run keep --date 2026-11-03");
    assert!(past.code == 1 && past.err.contains("a snapshot cannot be taken of the past"), "{}", past.err);
}

#[test]
fn a_lost_ledger_is_rebuilt_from_what_tables_say_of_themselves() {
    let project = project(OF_INTERVAL, BY_DAY);
    project.write("data/raw/event.csv", "id,who,day,amount,gone\n1,ann,2026-11-01,5,false\n");
    run(&project, "run grow --date 2026-11-03");
    for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::remove_file(project.path(&format!(".pipe/{file}")));
    }
    let again = project.pipe("run grow --date 2026-11-03");
    assert!(again.code == 0 && again.err.contains("nothing to do"), "{}", again.err);
}

#[test]
fn files_without_a_row_that_goes_are_shared_and_not_written_again() {
    use std::os::unix::fs::MetadataExt;
    let project = project(OF_INTERVAL, &BY_DAY.replace("lookback: 2, batch_size: 2", "batch_size: 1"));
    let rows: String = (1..6).map(|day| format!("{day},ann,2026-11-{day:02},{day},false\n")).collect();
    project.write("data/raw/event.csv", &format!("id,who,day,amount,gone\n{rows}"));
    let files = |project: &Project| {
        let entries = std::fs::read_dir(project.path(".pipe/warehouse/out/grown")).expect("a table");
        let numbers = entries.map(|entry| entry.expect("a file").metadata().expect("there").ino());
        numbers.collect::<std::collections::BTreeSet<u64>>()
    };
    run(&project, "run grow --date 2026-11-04");
    let before = files(&project);
    run(&project, "run grow --date 2026-11-05");
    let now = files(&project);
    assert_eq!((before.len(), now.len()), (3, 4));
    assert!(before.is_subset(&now));
}

#[test]
fn many_small_files_become_one() {
    let block = BY_DAY.replace("2026-11-01", "2026-08-01").replace("lookback: 2, batch_size: 2", "batch_size: 1");
    let project = project(OF_INTERVAL, &block);
    let first = chrono::NaiveDate::from_ymd_opt(2026, 8, 1).expect("a day");
    let rows: String = first.iter_days().take(80).map(|day| format!("1,ann,{day},1,false\n")).collect();
    project.write("data/raw/event.csv", &format!("id,who,day,amount,gone\n{rows}"));
    let files = || std::fs::read_dir(project.path(".pipe/warehouse/out/grown")).expect("a table").count();
    // The first 38 of 70 in one run become one file; then one comes a day, until there are too many again.
    run(&project, "run grow --date 2026-10-10");
    assert_eq!((files(), project.rows("out.grown").len()), (33, 70));
    run(&project, "run grow --date 2026-10-11");
    assert_eq!((files(), project.rows("out.grown").len()), (34, 71));
    for day in 12..20 {
        run(&project, &format!("run grow --date 2026-10-{day}"));
    }
    let days: Vec<String> = first.iter_days().take(79).map(|day| format!("{day}|1|1")).collect();
    assert_eq!(project.rows("out.grown"), days);
    // A table whose files were made one by one.
    let appended = self::project("select day, id from raw.event", "{strategy: append}");
    for run_of in 0..66 {
        appended.write("data/raw/event.csv", &format!("id,who,day,amount,gone\n{run_of},ann,2026-11-01,1,false\n"));
        run(&appended, "run grow");
    }
    let files = std::fs::read_dir(appended.path(".pipe/warehouse/out/grown")).expect("a table").count();
    assert_eq!((files, appended.rows("out.grown").len()), (34, 66));
}

#[test]
fn a_table_by_intervals_whose_sql_knows_none_is_a_warning() {
    let project = project("select * from raw.event", "{strategy: interval, time: day, since: 2026-11-01}");
    let told = project.pipe("validate grow");
    assert_eq!(told.code, 0, "{}", told.err);
    assert!(told.err.contains("warning[interval]: the SQL of `grow.grown` does not say `interval`"), "{}", told.err);
}

#[test]
fn plan_ends_as_the_run_would() {
    let project = project("select id, day from raw.event", "{strategy: append}");
    project.write("data/raw/event.csv", "id,who,day,amount,gone\n1,ann,2026-11-01,1,false\n");
    run(&project, "run grow");
    assert_eq!(project.pipe("plan grow").code, 0);
    project.write(
        "pipelines/grow.yaml",
        &format!("job: grow\nsteps:\n{}", steps("select id + 1 as id, day from raw.event", "{strategy: append}")),
    );
    let told = project.pipe("plan grow");
    assert_eq!(told.code, 2, "{}", told.err);
    assert!(told.err.contains("error[outdated-table]") && told.out.contains("grow.grown"), "{}{}", told.out, told.err);
}

#[test]
fn questions_about_a_growing_table_are_about_its_own_rows() {
    let sql =
        "select id, who, day, amount from raw.event where day >= {{ interval.start }} and day < {{ interval.end }}";
    let block = "{strategy: interval, time: day, since: 2026-10-30}";
    let project = project(sql, block);
    let line = |id: u32, day: &str, amount: u32| format!("{id},ann,{day},{amount},false\n");
    let early = [line(1, "2026-10-30", 5), line(2, "2026-10-31", 6)].concat();
    project.write("data/raw/event.csv", &format!("id,who,day,amount,gone\n{early}"));
    run(&project, "run grow");
    assert_eq!(project.rows("out.grown").len(), 2);
    let same = project.pipe("diff grow --key id --exit-code");
    assert_eq!(same.code, 0, "{}{}", same.out, same.err);
    assert!(same.out.contains("a run would leave it as it is"), "{}", same.out);
    // A row that is gone from the source is in the table all the same, and is found there.
    project.write("data/raw/event.csv", &format!("id,who,day,amount,gone\n{}", line(1, "2026-10-30", 5)));
    let why = project.pipe("why grow grown --key id=2");
    assert_eq!(why.code, 0, "{}{}", why.out, why.err);
    assert!(
        why.out.contains("grow.grown (query): 1 row") && why.out.contains("rows are of earlier runs"),
        "{}",
        why.out
    );
    let why = project.pipe("why grow grown --key id=1");
    assert!(why.out.contains("raw.event (source): 1 row"), "{}", why.out);
    let changed = steps(&sql.replace("amount from", "amount + 1 as amount from"), block);
    project.write("pipelines/grow.yaml", &format!("job: grow\nsteps:\n{changed}"));
    let diff = project.pipe("diff grow --key id");
    assert_eq!(diff.code, 0, "{}{}", diff.out, diff.err);
    assert!(diff.out.contains("what `--full-refresh` would make of it"), "{}", diff.out);
    assert!(diff.out.contains("0 added, 1 removed, 1 changed"), "{}", diff.out);
}

#[test]
fn a_diff_of_a_table_that_grows_says_what_the_next_run_adds() {
    let project = project("select id, who, amount from raw.event", "{strategy: merge, key: id}");
    project.write("data/raw/event.csv", "id,who,day,amount,gone\n1,ann,2026-11-01,1,false\n2,bob,2026-11-01,2,false\n");
    run(&project, "run grow");
    project.write("data/raw/event.csv", "id,who,day,amount,gone\n2,bob,2026-11-01,3,false\n4,dan,2026-11-01,4,false\n");
    let diff = project.pipe("diff grow --key id");
    assert!(diff.out.contains("compared with what the next run would make of it"), "{}{}", diff.out, diff.err);
    assert!(diff.out.contains("1 added, 0 removed, 1 changed"), "{}", diff.out);
    assert_eq!(project.rows("out.grown"), ["1|ann|1", "2|bob|2"]);
}
