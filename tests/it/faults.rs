//! What goes wrong outside the author's text: files, disks, other processes. Nothing that was published is lost.

use std::process::Command;

use crate::project::Project;

const JOB: &str = "  top:
    publish: out.top
    sql: select id, title from raw.program
";

fn project(csv: &str) -> Project {
    Project::new().source("program", "id: number, title: varchar", csv).job("week", JOB)
}

#[test]
fn wrong_values_of_all_files_are_told_at_once_and_nothing_is_run() {
    let project = project("id,title\n1,a\n").source("person", "id: number, born: date", "id,born\n1,2000-01-01\n");
    project.write(
        "pipelines/week.yaml",
        &format!("steps:\n{JOB}  born:\n    publish: out.born\n    sql: select * from raw.person\n"),
    );
    assert_eq!(project.pipe("run week").code, 0);
    project.write("data/raw/program.csv", "id,title\n1,a\ntwo,b\n");
    project.write("data/raw/person.csv", "id,born\n1,yesterday\nx,2000-01-01\n");
    let ran = project.pipe("run week");
    assert_eq!(ran.code, 2, "{}", ran.err);
    for part in [
        "program.csv`, row 3: `two` is no NUMBER",
        "person.csv`, row 2: `yesterday` is no DATE",
        "person.csv`, row 3: `x`",
    ] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    assert_eq!(project.rows("out.top"), ["1|a"]);
    assert_eq!(project.pipe("runs").out.lines().count(), 2);
}

#[test]
fn csv_in_the_forms_that_programs_write_is_read() {
    for (what, csv, expected) in [
        ("quotes and line breaks", "id,title\n1,\"a, \"\"b\"\"\nc\"\n", vec!["1|a, \"b\"\nc"]),
        ("a byte order mark", "\u{feff}id,title\n1,a\n", vec!["1|a"]),
        ("Windows line ends", "id,title\r\n1,a\r\n2,b\r\n", vec!["1|a", "2|b"]),
        ("columns in another order, and more of them", "x,TITLE,id\n9,a,1\n", vec!["1|a"]),
        ("no rows", "id,title\n", vec![]),
        ("no end of the last line", "id,title\n1,a", vec!["1|a"]),
        ("an empty value", "id,title\n1,\n", vec!["1|"]),
        ("a quote inside a value", "id,title\n1,5\" disc\n", vec!["1|5\" disc"]),
    ] {
        let project = project(csv);
        let ran = project.pipe("run week");
        assert_eq!(ran.code, 0, "{what}: {}", ran.err);
        assert_eq!(project.rows("out.top"), expected, "{what}");
    }
    for (what, csv, told) in [
        ("no header", "", "lacks the columns `id`, `title`"),
        ("a line with too many values", "id,title\n1,a,b\n", "program.csv`"),
        ("a quote that is never closed", "id,title\n1,a\n2,\"b\n3,c\n", "program.csv`, line 3: the quote"),
    ] {
        let ran = project(csv).pipe("run week");
        assert!(ran.code == 2 && ran.err.contains(told), "{what} ({}): {}", ran.code, ran.err);
    }
}

#[test]
fn yaml_and_sql_with_windows_line_ends_and_odd_folders_work() {
    let project = Project::new().source("program", "id: number, title: varchar", "id,title\n1,a\n");
    project.write(
        "pipelines/week.yaml",
        &"steps:\n  top:\n    publish: out.top\n    sql: |\n      select id -- the key\n      from raw.program\n"
            .replace('\n', "\r\n"),
    );
    assert_eq!(project.pipe("run week").code, 0);
    let odd = project.path("a folder/été 🎬");
    std::fs::create_dir_all(&odd).expect("made");
    let mut copy = Command::new("cp");
    copy.args(["-r", "pipelines", "schemas", "data", "pipe.yaml"]).arg(&odd).current_dir(project.path(""));
    assert!(copy.status().expect("cp runs").success());
    let ran =
        Command::new(env!("CARGO_BIN_EXE_pipe")).args(["run", "week"]).current_dir(&odd).output().expect("pipe runs");
    assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
    let mut read = Command::new(env!("CARGO_BIN_EXE_pipe"));
    let read = read.args(["sql", "--format", "csv", "select * from out.top"]).current_dir(&odd).output();
    assert_eq!(String::from_utf8_lossy(&read.expect("pipe runs").stdout), "ID\n1\n");
}

#[test]
fn a_damaged_ledger_is_told_and_tables_can_still_be_read() {
    let project = project("id,title\n1,a\n");
    assert_eq!(project.pipe("run week").code, 0);
    for file in ["ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::remove_file(project.path(&format!(".pipe/{file}")));
    }
    project.write(".pipe/ledger.db", &"this is no ledger ".repeat(500));
    let ran = project.pipe("run week");
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("is damaged") && ran.err.contains("move it away"), "{}", ran.err);
    assert_eq!(project.rows("out.top"), ["1|a"]);
    std::fs::remove_file(project.path(".pipe/ledger.db")).expect("moved away");
    assert_eq!(project.pipe("run week").code, 0);
}

#[test]
fn a_full_disk_fails_the_run_and_keeps_the_old_table() {
    let project = project("id,title\n1,a\n");
    assert_eq!(project.pipe("run week").code, 0);
    let rows: String = (0..200_000).map(|id| format!("{id},title {}\n", id * 7919 % 1_000_003)).collect();
    project.write("data/raw/program.csv", &format!("id,title\n{rows}"));
    let limited = format!("ulimit -f 600; trap '' XFSZ; exec {} run week", env!("CARGO_BIN_EXE_pipe"));
    let ran = Command::new("bash").args(["-c", &limited]).current_dir(project.path("")).output().expect("bash runs");
    let told = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{told}");
    assert!(told.contains("cannot write"), "{told}");
    assert_eq!(project.rows("out.top"), ["1|a"]);
    assert_eq!(project.pipe("run week").code, 0);
    assert_eq!(project.rows("out.top").len(), 200_000);
}

#[test]
fn two_processes_publish_different_tables_and_exclude_each_other_from_one() {
    let project = project("id,title\n1,a\n").job("other", "  one:\n    publish: out.other\n    sql: select 1 as x\n");
    let start = |job: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipe"));
        command
            .args(["run", job, "--full-refresh"])
            .current_dir(project.path(""))
            .output()
            .map(|done| (done.status.code().unwrap_or(-1), String::from_utf8_lossy(&done.stderr).into_owned()))
    };
    let ended: Vec<(i32, String)> = std::thread::scope(|scope| {
        let start = &start;
        let threads: Vec<_> =
            ["week", "other", "week", "other"].map(|job| scope.spawn(move || start(job))).into_iter().collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends").expect("pipe runs")).collect()
    });
    for (code, told) in &ended {
        assert!(*code == 0 || told.contains("is being published by process"), "{told}");
    }
    assert_eq!((project.rows("out.top"), project.rows("out.other")), (vec!["1|a".to_owned()], vec!["1".to_owned()]));
}

#[test]
fn a_published_view_stands_alone_and_follows_its_inputs() {
    let project = project("id,title\n1,a\n2,b\n");
    project.write(
        "pipelines/week.yaml",
        "steps:\n  base:\n    sql: select id, title from raw.program where id > 1;\n  kept:\n    publish: out.kept\n    sql: select id from base\n  \
         seen:\n    publish: out.seen\n    materialize: view\n    sql: |\n      with x as (select * from base) -- own name\n      select x.title from x join kept on kept.id = x.id\n  \
         after:\n    publish: out.after\n    sql: select upper(title) as title from seen\n",
    );
    assert_eq!(project.pipe("run week").code, 0);
    let shown = |project: &Project| {
        let sql = Command::new(env!("CARGO_BIN_EXE_pipe"))
            .args(["sql", "--format", "csv", "select * from out.seen order by 1"])
            .current_dir(project.path(""))
            .output()
            .expect("pipe runs");
        assert!(sql.status.success(), "{}", String::from_utf8_lossy(&sql.stderr));
        String::from_utf8_lossy(&sql.stdout).into_owned()
    };
    assert_eq!(shown(&project), "TITLE\nb\n");
    project.write("pipelines/later.yaml", "steps:\n  all:\n    publish: out.later\n    sql: select * from out.seen\n");
    assert_eq!(project.pipe("run later").code, 0);
    assert_eq!(project.rows("out.later"), ["b"]);
    project.write("data/raw/program.csv", "id,title\n1,a\n2,b\n3,c\n");
    assert_eq!(project.pipe("run week").code, 0);
    assert_eq!(shown(&project), "TITLE\nb\nc\n");
    assert_eq!(project.rows("out.after"), ["B", "C"]);
    assert_eq!(project.pipe("run later").code, 0);
    assert_eq!(project.rows("out.later"), ["b", "c"]);
}

#[test]
fn statements_keep_to_the_memory_limit() {
    let project = Project::new();
    let sql = "select seq4() as a, randstr(100, random()) as b from table(generator(rowcount => 3000000)) order by b";
    let run = |limit: &str| {
        let command = ["sql", "--memory", "--memory-limit", limit, "--format", "csv", sql];
        Command::new(env!("CARGO_BIN_EXE_pipe"))
            .args(command)
            .current_dir(project.path(""))
            .output()
            .expect("pipe runs")
    };
    let small = run("30MB");
    let told = String::from_utf8_lossy(&small.stderr);
    assert_eq!(small.status.code(), Some(1), "{told}");
    assert!(told.to_lowercase().contains("memory"), "{told}");
    assert_eq!(run("lots").status.code(), Some(2));
}

#[test]
fn wrong_values_are_told_row_by_row_and_the_rest_is_counted() {
    let rows: String =
        (0..30_000).map(|at| if at % 1000 == 7 { "x,a\n".to_owned() } else { format!("{at},a\n") }).collect();
    let project = project(&format!("id,title\n{rows}"));
    let ran = project.pipe("run week");
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert_eq!(ran.err.matches("`x` is no NUMBER").count(), 20, "{}", ran.err);
    assert!(ran.err.contains("row 9: ") && ran.err.contains("row 1009: "), "{}", ran.err);
    assert!(ran.err.contains("10 more values beside these fit no column"), "{}", ran.err);
}

#[test]
fn lines_that_end_in_cr_alone_are_lines() {
    let project = project("id,title\r1,a\r2,b\r");
    assert_eq!(project.pipe("run week").code, 0);
    assert_eq!(project.rows("out.top"), ["1|a", "2|b"]);
    project.write("data/raw/program.csv", "id,title\r1,a\rx,b\r");
    assert!(project.pipe("run week").err.contains("row 3: `x`"));
}

#[test]
fn an_error_while_running_leads_to_the_authors_text() {
    let told = |steps: &str| {
        let project =
            Project::new().source("program", "id: number, title: varchar", "id,title\n0,a\n").job("week", steps);
        project.write("sql/week/file.sql", "select\n  -- 1 / 2\n  id / id as share\nfrom raw.program\n");
        let ran = project.pipe("run week");
        assert_eq!(ran.code, 1, "{}", ran.err);
        ran.err
    };
    for (steps, place) in [
        ("  file: {publish: out.top}\n", "failed   week.file: division by zero, at `sql/week/file.sql:3:6`"),
        (
            "  file:\n  top: {publish: out.top, sql: select share + 1 as s from file}\n",
            "week.top: division by zero, at `sql/week/file.sql:3:6`",
        ),
        (
            "  top:\n    publish: out.top\n    sql: |\n      select id,\n        title::number as n\n      from raw.program\n",
            "numeric value 'a' is not recognized, at `pipelines/week.yaml:7:14`",
        ),
        (
            "  top:\n    publish: out.top\n    sql: select id from raw.program\n    tests: [{expression: 1 / id > 0}]\n",
            "test `expression`: division by zero, at `pipelines/week.yaml:6:28`",
        ),
    ] {
        let err = told(steps);
        assert!(err.contains(place), "{place}\n{err}");
    }
}
