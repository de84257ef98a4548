//! `pipe check` and `pipe why`: faults are planted into a small warehouse or into a job, and the verdict has to say whether
//! the data or the logic is at fault, and where. The project is `tests/cases/check`; its rows are made here.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use serde_json::Value;

use crate::project::{Project, Ran};

/// A warehouse as rows of texts, by table, the header first.
type Warehouse = BTreeMap<&'static str, Vec<Vec<String>>>;

const TODAY: (i32, u32, u32) = (2026, 11, 2);
/// All days, and rows without a day.
const EVER: u64 = u64::MAX;
/// Days of events before today.
const DAYS: u64 = 28;

/// A small generator of numbers that are as good as random (Knuth's linear congruential one).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn row(values: &[&dyn ToString]) -> Vec<String> {
    values.iter().map(|value| value.to_string()).collect()
}

/// The rows of all tables, for a day and a seed: more at the week's end, more in the evening, `growth` hundredths more a day.
fn warehouse(today: NaiveDate, seed: u64, growth: u64) -> Warehouse {
    let mut dice = Dice(seed);
    let mut tables = Warehouse::new();
    let mut table = |name: &'static str, header: &str, rows: Vec<Vec<String>>| {
        let header = header.split(',').map(str::to_owned).collect();
        tables.insert(name, std::iter::once(header).chain(rows).collect());
    };
    let programs = 60;
    table("program", "id,title,category", (1..=programs).map(|id| row(&[&id, &format!("p{id}"), &(id % 4)])).collect());
    table(
        "offer",
        "bundle_id,channel_id",
        [(1, 1), (1, 2), (2, 2), (2, 3), (3, 4), (3, 1)].map(|(b, c)| row(&[&b, &c])).to_vec(),
    );
    let rated = (1..=programs).filter(|id| id % 5 != 0);
    let rated = rated.flat_map(|id| [(id, 1), (id, 2)]);
    let rated: Vec<_> =
        rated.map(|(id, service)| row(&[&id, &service, &format!("{}.{}", dice.below(5), dice.below(10))])).collect();
    table("rating", "program_id,service,rating", rated);
    let (mut airings, mut bookmarks, mut watches) = (Vec::new(), Vec::new(), Vec::new());
    for at in 0..DAYS + 8 {
        let day = today - Days::new(DAYS) + Days::new(at);
        for (channel, slot) in (1..=4).flat_map(|channel| (0..8).map(move |slot| (channel, slot))) {
            let start = day.and_time(NaiveTime::MIN) + TimeDelta::minutes(360 + slot * 130);
            airings.push(row(&[&(1 + dice.below(programs)), &channel, &start]));
        }
        if at >= DAYS {
            continue;
        }
        let usual = 100 + growth * at + if is_weekend(day) { 35 } else { 0 };
        for _ in 0..usual * 6 / 10 + dice.below(6) {
            bookmarks.push(row(&[&(1 + dice.below(300)), &favourite(&mut dice, programs), &evening(day, &mut dice)]));
        }
        for _ in 0..usual + dice.below(10) {
            let kind = ["live", "live", "live", "replay", "replay", "vod"][dice.below(6) as usize];
            let duration = 60 + dice.below(60) * dice.below(60) * 2;
            watches.push(row(&[
                &(1 + dice.below(300)),
                &favourite(&mut dice, programs),
                &kind,
                &evening(day, &mut dice),
                &duration,
                &day,
            ]));
        }
    }
    table("airing", "program_id,channel_id,start_at", airings);
    table("bookmark", "user_id,program_id,made_at", bookmarks);
    table("watch", "user_id,program_id,kind,started_at,duration,day", watches);
    tables
}

fn is_weekend(day: NaiveDate) -> bool {
    use chrono::Datelike;
    day.weekday().number_from_monday() > 5
}

fn favourite(dice: &mut Dice, programs: u64) -> u64 {
    1 + dice.below(programs).min(dice.below(programs))
}

fn evening(day: NaiveDate, dice: &mut Dice) -> NaiveDateTime {
    let minutes = 480 + dice.below(480) + dice.below(470);
    day.and_time(NaiveTime::MIN) + TimeDelta::seconds((minutes * 60 + dice.below(60)) as i64)
}

fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(TODAY.0, TODAY.1, TODAY.2).expect("a date")
}

/// The project of the cases with these rows.
fn project(tables: &Warehouse) -> Project {
    let project = Project::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/check");
    copy(&root, &root, &project);
    for (name, rows) in tables {
        write(&project, name, rows);
    }
    project
}

fn copy(root: &Path, folder: &Path, project: &Project) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            copy(root, &path, project);
        } else {
            let inside = path.strip_prefix(root).unwrap().to_str().unwrap();
            project.write(inside, &std::fs::read_to_string(&path).unwrap());
        }
    }
}

fn write(project: &Project, table: &str, rows: &[Vec<String>]) {
    let text: String = rows.iter().map(|row| row.join(",") + "\n").collect();
    project.write(&format!("data/tv/{table}.csv"), &text);
}

/// Changes a file of the project; what is replaced must be there.
fn edit(project: &Project, path: &str, before: &str, after: &str) {
    let text = std::fs::read_to_string(project.path(path)).unwrap();
    assert!(text.contains(before), "{path} has `{before}`");
    project.write(path, &text.replace(before, after));
}

/// The rows of a table that are of the last days, each changed; none leaves the row out, several make several.
fn change(
    tables: &mut Warehouse,
    table: &str,
    time: usize,
    days: u64,
    mut to: impl FnMut(usize, &[String]) -> Vec<Vec<String>>,
) {
    let from = if days == EVER { String::new() } else { (today() - Days::new(days)).to_string() };
    let rows = tables.get_mut(table).unwrap();
    let header = rows.remove(0);
    let changed = rows
        .iter()
        .enumerate()
        .flat_map(|(at, row)| if row[time].as_str() >= from.as_str() { to(at, row) } else { vec![row.clone()] });
    *rows = std::iter::once(header).chain(changed.collect::<Vec<_>>()).collect();
}

fn with(row: &[String], column: usize, value: impl ToString) -> Vec<Vec<String>> {
    let mut row = row.to_vec();
    row[column] = value.to_string();
    vec![row]
}

fn later(time: &str, hours: i64) -> String {
    let time = NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S").unwrap();
    (time + TimeDelta::hours(hours)).to_string()
}

type Plant = fn(&mut Warehouse, &Project);

/// A fault: what it is, how it is planted, the verdict, and the table or step that must be named.
const FAULTS: &[(&str, Plant, &str, &str)] = &[
    ("the source is late", |tables, _| change(tables, "bookmark", 2, 2, |_, _| vec![]), "data", "tv.bookmark"),
    (
        "half the volume for three days",
        |tables, _| change(tables, "watch", 3, 3, |at, row| if at % 2 == 0 { vec![row.to_vec()] } else { vec![] }),
        "data",
        "tv.watch",
    ),
    (
        "bookmarks are there twice",
        |tables, _| change(tables, "bookmark", 2, EVER, |_, row| vec![row.to_vec(), row.to_vec()]),
        "data",
        "tv.bookmark",
    ),
    (
        "the code of a service changed",
        |tables, _| {
            change(tables, "rating", 0, EVER, |_, row| with(row, 1, if row[1] == "2" { "22" } else { &row[1] }))
        },
        "data",
        "tv.rating",
    ),
    (
        "times are of another zone",
        |tables, _| change(tables, "watch", 3, 5, |_, row| with(row, 3, later(&row[3], 4))),
        "data",
        "tv.watch",
    ),
    (
        "times of bookmarks are of another zone",
        |tables, _| change(tables, "bookmark", 2, 4, |_, row| with(row, 2, later(&row[2], -6))),
        "data",
        "tv.bookmark",
    ),
    (
        "a column has NULLs",
        |tables, _| {
            change(tables, "watch", 3, 4, |at, row| if at % 4 == 0 { with(row, 4, "") } else { vec![row.to_vec()] })
        },
        "data",
        "tv.watch",
    ),
    (
        "seconds became minutes",
        |tables, _| change(tables, "watch", 3, 3, |_, row| with(row, 4, row[4].parse::<u64>().unwrap() / 60)),
        "data",
        "tv.watch",
    ),
    (
        "the schedule ends early",
        |tables, _| {
            let end = (today() + Days::new(3)).to_string();
            change(tables, "airing", 2, 0, |_, row| if row[2] < end { vec![row.to_vec()] } else { vec![] });
        },
        "data",
        "tv.airing",
    ),
    (
        "a programme is there twice",
        |tables, _| {
            change(
                tables,
                "program",
                0,
                EVER,
                |_, row| {
                    if row[0] == "7" { vec![row.to_vec(); 2] } else { vec![row.to_vec()] }
                },
            )
        },
        "data",
        "tv.program",
    ),
    (
        "a code that is looked for in a join changed",
        |tables, project| {
            edit(
                project,
                "sql/checks/ratings.sql",
                "select program_id, sum(rating) / count(rating) as rating from tv.rating where service = 2 group by program_id order by rating desc",
                "select r.program_id, avg(r.rating) as rating from tv.program as p \
                     join tv.rating as r on r.program_id = p.id and r.service = 2 group by r.program_id",
            );
            edit(
                project,
                "pipelines/checks.yaml",
                "sql: checks/ratings.sql\n    expect: [{rows: {min: 20}}]",
                "sql: checks/ratings.sql",
            );
            change(tables, "rating", 0, EVER, |_, row| with(row, 1, if row[1] == "2" { "22" } else { &row[1] }))
        },
        "data",
        "tv.rating",
    ),
    (
        "a day is missing among the others",
        |tables, _| {
            let day = (today() - Days::new(5)).to_string();
            change(tables, "watch", 3, EVER, |_, row| if row[5] == day { vec![] } else { vec![row.to_vec()] });
        },
        "data",
        "tv.watch",
    ),
    (
        "rows of the last days are there twice",
        |tables, _| change(tables, "watch", 3, 3, |_, row| vec![row.to_vec(); 2]),
        "data",
        "tv.watch",
    ),
    (
        "users of some bookmarks are unknown",
        |tables, _| {
            change(tables, "bookmark", 2, 4, |at, row| if at % 3 == 0 { with(row, 0, "") } else { vec![row.to_vec()] })
        },
        "data",
        "tv.bookmark",
    ),
    (
        "channels have other numbers in the schedule",
        |tables, _| {
            change(tables, "airing", 2, EVER, |_, row| {
                if row[2] >= today().to_string() { with(row, 1, format!("10{}", row[1])) } else { vec![row.to_vec()] }
            })
        },
        "data",
        "tv.airing",
    ),
    (
        "a join multiplies rows",
        |_, project| {
            edit(
                project,
                "sql/picks/on_air.sql",
                "where channel_id in (select channel_id from tv.offer where bundle_id in ({{ bundles }}))",
                "join tv.offer using (channel_id) where bundle_id in ({{ bundles }})",
            )
        },
        "logic",
        "picks.on_air",
    ),
    (
        "a join uses the wrong key",
        |_, project| {
            edit(
                project,
                "sql/picks/candidates.sql",
                "left join ratings as r on r.program_id = o.program_id",
                "left join ratings as r on r.program_id = o.airings",
            )
        },
        "logic",
        "picks.candidates",
    ),
    (
        "a weight is lost",
        |_, project| {
            edit(
                project,
                "sql/picks/picks.sql",
                "    + {{ weights.rating }} * coalesce(rating / nullif(max(rating) over (), 0), 0)\n",
                "",
            )
        },
        "logic",
        "picks.picks",
    ),
    (
        "the list of bundles is out of date",
        |_, project| edit(project, "pipelines/picks.yaml", "bundles: [1, 2]", "bundles: [1]"),
        "logic",
        "picks.on_air",
    ),
    (
        "a filter is dropped",
        |_, project| edit(project, "sql/picks/ratings.sql", "where service = 2\n", ""),
        "logic",
        "picks.ratings",
    ),
    (
        "a window is a day short",
        |_, project| edit(project, "sql/picks/watches.sql", "day >= current_date", "day > current_date"),
        "logic",
        "picks.watches",
    ),
    (
        "an inner join loses rows",
        |_, project| edit(project, "sql/picks/candidates.sql", "left join ratings", "join ratings"),
        "logic",
        "picks.candidates",
    ),
    (
        "seconds are taken for minutes",
        |_, project| edit(project, "sql/picks/watches.sql", "/ 3600", "/ 60"),
        "logic",
        "picks.watches",
    ),
    (
        "the end of the horizon is another",
        |_, project| edit(project, "sql/picks/on_air.sql", "current_date + 6", "current_date + 7"),
        "logic",
        "picks.on_air",
    ),
    (
        "users are counted more than once",
        |_, project| edit(project, "sql/picks/bookmarks.sql", "count(distinct user_id)", "count(user_id)"),
        "logic",
        "picks.bookmarks",
    ),
];

/// What a fault came to: the verdicts that are not ok, and what they name.
fn found(ran: &Ran) -> (Vec<String>, Vec<String>) {
    let value: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}{}", ran.out, ran.err));
    let (mut verdicts, mut named) = (Vec::new(), Vec::new());
    for check in value["checks"].as_array().unwrap() {
        let verdict = check["verdict"].as_str().unwrap().to_owned();
        if verdict != "ok" {
            verdicts.push(verdict);
        }
        named.extend(check["data"].as_array().unwrap().iter().map(|found| found["table"].as_str().unwrap().to_owned()));
        let steps = check["logic"]["steps"].as_array().into_iter().flatten();
        named.extend(steps.map(|step| step.as_str().unwrap().to_owned()));
    }
    (verdicts, named)
}

/// The check that looks at a table or step.
fn check_of(place: &str) -> &'static str {
    match place {
        "tv.bookmark" | "picks.bookmarks" => "bookmarks",
        "tv.watch" | "picks.watches" => "watches",
        "tv.rating" | "picks.ratings" => "ratings",
        "tv.airing" | "picks.on_air" => "on_air",
        _ => "scores",
    }
}

#[test]
fn planted_faults_are_found_where_they_are() {
    let mut wrong = Vec::new();
    for (fault, plant, verdict, place) in FAULTS {
        let mut tables = warehouse(today(), 1, 0);
        let project = project(&tables);
        plant(&mut tables, &project);
        tables.iter().for_each(|(name, rows)| write(&project, name, rows));
        let ran = project.pipe(&format!("check {} --format json", check_of(place)));
        let (verdicts, named) = found(&ran);
        let only = *verdict == "logic" || named.iter().all(|name| name == place);
        let right = !verdicts.is_empty()
            && verdicts.iter().all(|found| found == verdict)
            && named.iter().any(|name| name == place)
            && only;
        if !right || ran.code != 1 {
            wrong.push(format!("{fault}: {verdicts:?} {named:?}, exit code {}", ran.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn clean_variations_raise_no_alarm() {
    let variations: [(&str, Warehouse, &str); 5] = [
        ("another seed", warehouse(today(), 77, 0), "check --format json"),
        ("an earlier day", warehouse(today(), 1, 0), "check --format json --date 2026-10-29"),
        (
            "a Monday after a busy weekend",
            warehouse(today() + Days::new(7), 3, 0),
            "check --format json --date 2026-11-09",
        ),
        ("steady growth", warehouse(today(), 4, 3), "check --format json"),
        ("another offer", warehouse(today(), 5, 0), "check --format json"),
    ];
    let mut wrong = Vec::new();
    for (variation, tables, command) in variations {
        let project = project(&tables);
        if variation == "another offer" {
            edit(&project, "pipelines/picks.yaml", "[1, 2]", "[2, 3]");
            edit(&project, "pipelines/checks.yaml", "[1, 2]", "[2, 3]");
        }
        let ran = project.pipe(command);
        if ran.code != 0 || !found(&ran).0.is_empty() {
            wrong.push(format!("{variation}: {}{}", project.pipe(&command.replace(" --format json", "")).out, ran.err));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Faults of a table as a whole, which its own days cannot show: what it is, how it is planted, and the table.
const AFTER_ONE_CHECK: &[(&str, Plant, &str)] = &[
    (
        "half of the ratings are gone",
        |tables, _| change(tables, "rating", 0, EVER, |at, row| if at % 2 == 0 { vec![row.to_vec()] } else { vec![] }),
        "tv.rating",
    ),
    (
        "the whole schedule is two hours late",
        |tables, _| change(tables, "airing", 2, EVER, |_, row| with(row, 2, later(&row[2], 2))),
        "tv.airing",
    ),
    (
        "seconds became milliseconds, in all rows",
        |tables, _| {
            change(tables, "watch", 3, EVER, |_, row| with(row, 4, row[4].parse::<u64>().unwrap() * 1000));
        },
        "tv.watch",
    ),
    (
        "a service has another number",
        |tables, _| {
            change(tables, "rating", 0, EVER, |_, row| with(row, 1, if row[1] == "1" { "11" } else { &row[1] }));
        },
        "tv.rating",
    ),
    (
        "all but the last week is gone",
        |tables, _| {
            let from = (today() - Days::new(8)).to_string();
            change(tables, "watch", 3, EVER, |_, row| if row[3] >= from { vec![row.to_vec()] } else { vec![] });
        },
        "tv.watch",
    ),
];

#[test]
fn one_earlier_check_is_enough_for_faults_of_a_whole_table() {
    let mut wrong = Vec::new();
    for (fault, plant, table) in AFTER_ONE_CHECK {
        let mut tables = warehouse(today(), 1, 0);
        let project = project(&tables);
        assert_eq!(project.pipe("check").code, 0);
        plant(&mut tables, &project);
        tables.iter().for_each(|(name, rows)| write(&project, name, rows));
        let ran = project.pipe(&format!("check {} --format json", check_of(table)));
        let (verdicts, named) = found(&ran);
        if ran.code != 1 || verdicts != ["data"] || named.is_empty() || named.iter().any(|name| name != table) {
            wrong.push(format!("{fault}: {verdicts:?} {named:?}, exit code {}\n{}", ran.code, ran.out));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn one_earlier_check_raises_no_alarm_about_what_varies() {
    let later = today() + Days::new(1);
    let variations = [
        ("other rows of the same kind", warehouse(today(), 9, 0), "check --format json"),
        ("a day later", warehouse(later, 2, 0), "check --format json --date 2026-11-03"),
        ("a fifth more", warehouse(today(), 3, 1), "check --format json"),
    ];
    let mut wrong = Vec::new();
    for (variation, tables, command) in variations {
        let project = project(&warehouse(today(), 1, 0));
        assert_eq!(project.pipe("check").code, 0);
        tables.iter().for_each(|(name, rows)| write(&project, name, rows));
        let ran = project.pipe(command);
        if ran.code != 0 || !found(&ran).0.is_empty() {
            wrong.push(format!("{variation}: {}{}", ran.out, ran.err));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_changed_since_the_last_agreement_is_shown() {
    let project = project(&warehouse(today(), 1, 0));
    assert_eq!(project.pipe("run picks").code, 0);
    assert_eq!(project.pipe("check").code, 0);
    edit(&project, "pipelines/picks.yaml", "rating: 0.2", "rating: 0");
    let ran = project.pipe("check scores");
    assert_eq!(ran.code, 1, "{}", ran.err);
    for part in [
        "logic  checks.scores",
        "picks.picks",
        "variable weights changed since",
        "- {bookmarks: 0.5, rating: 0.2, hours: 0.3}",
        "ml.picks: the job changed since it was published",
    ] {
        assert!(ran.out.contains(part), "{part}\n{}", ran.out);
    }
}

#[test]
fn a_result_older_than_its_inputs_is_stale() {
    let mut tables = warehouse(today(), 1, 0);
    let project = project(&tables);
    assert_eq!(project.pipe("run picks").code, 0);
    let more = row(&[&5, &6, &"live", &"2026-11-01 20:00:00", &3600, &"2026-11-01"]);
    tables.get_mut("watch").unwrap().push(more);
    write(&project, "watch", &tables["watch"]);
    let ran = project.pipe("check scores");
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.out.starts_with("stale  checks.scores"), "{}", ran.out);
    assert!(ran.out.contains("ml.picks: tv.watch changed since it was published"), "{}", ran.out);
    assert_eq!(project.pipe("run picks").code, 0);
    assert_eq!(project.pipe("check scores").code, 0);
}

#[test]
fn earlier_profiles_say_what_is_usual_where_the_table_has_no_days() {
    let mut tables = warehouse(today(), 1, 0);
    let project = project(&tables);
    for date in ["2026-10-29", "2026-10-30", "2026-10-31", "2026-11-01"] {
        assert_eq!(project.pipe(&format!("check ratings --date {date}")).code, 0);
    }
    let rows = tables.get_mut("rating").unwrap();
    rows.truncate(rows.len() / 2);
    write(&project, "rating", rows);
    let ran = project.pipe("check ratings");
    assert!(ran.out.contains("data   tv.rating: 47 rows where about 96 were usual in earlier runs"), "{}", ran.out);
}

#[test]
fn a_row_is_followed_to_its_sources() {
    let project = project(&warehouse(today(), 1, 0));
    let ran = project.pipe("why picks picks --key position=1 --format json");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let trace: Value = serde_json::from_str(&ran.out).unwrap();
    let candidates = &trace["inputs"][0];
    assert_eq!((trace["count"].as_u64(), candidates["name"].as_str()), (Some(1), Some("picks.candidates")));
    let names: Vec<&str> =
        candidates["inputs"].as_array().unwrap().iter().map(|input| input["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["picks.on_air", "tv.program", "picks.bookmarks", "picks.ratings", "picks.watches"]);
    let bookmarks = &candidates["inputs"][2];
    let id = candidates["rows"]["rows"][0][0].as_u64().unwrap();
    let of_program = format!("program_id = {id} and made_at >= current_date - 14 and made_at < current_date");
    project.write("count.sql", &format!("select count(*) as n from tv.bookmark where {of_program}"));
    let counted = project.pipe("sql --format csv --file count.sql");
    let counted: u64 = counted.out.lines().nth(1).unwrap().parse().unwrap();
    assert_eq!(bookmarks["inputs"][0]["count"].as_u64(), Some(counted));
    assert_eq!(bookmarks["inputs"][0]["name"], "tv.bookmark");
}

#[test]
fn wrong_names_are_told() {
    let project = project(&warehouse(today(), 1, 0));
    let ran = project.pipe("check bookmark");
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.contains("there is no check `bookmark`") && ran.err.contains("did you mean `bookmarks`?"),
        "{}",
        ran.err
    );
    edit(&project, "pipelines/checks.yaml", "columns: {cnt: bookmarks}", "columns: {cnt: bookmrks}");
    let ran = project.pipe("check bookmarks");
    assert!(ran.err.contains("step `picks.bookmarks` has no column `bookmrks`"), "{}", ran.err);
    let ran = project.pipe("why picks picks --key postion=1");
    assert!(ran.err.contains("did you mean `position`?"), "{}", ran.err);
}
