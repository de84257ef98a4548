use super::{check, check_with};
use crate::dialect::session::SessionParameters;

#[test]
fn parts() {
    let stamp = "TO_TIMESTAMP('2013-05-08T23:39:20.123-07:00')";
    let part = |name: &str| format!("DATE_PART('{name}', {stamp})");
    let cases = [
        ("year", "2013"),
        ("quarter", "2"),
        ("month", "5"),
        ("day", "8"),
        ("dayofweek", "3"),
        ("dow_iso", "3"),
        ("doy", "128"),
        ("week", "19"),
        ("weekiso", "19"),
        ("yearofweek", "2013"),
        ("h", "23"),
        ("minute", "39"),
        ("secs", "20"),
        ("nanosecond", "123000000"),
        ("epoch_second", "1368056360"),
        ("epoch_millisecond", "1368056360123"),
        ("epoch_microsecond", "1368056360123000"),
        ("epoch_nanosecond", "1368056360123000000"),
        ("nothing", "error"),
    ];
    for (name, wanted) in cases {
        check(&[(&part(name), wanted)]);
    }
    check(&[
        ("DATE_PART('tzh', TO_TIMESTAMP_TZ('2024-01-01 00:00:00 -0730'))", "-7"),
        ("DATE_PART('tzm', TO_TIMESTAMP_TZ('2024-01-01 00:00:00 -0730'))", "-30"),
        ("YEAR('2024-05-01')", "2024"),
        ("HOUR(TO_TIME('15:30:45'))", "15"),
        ("HOUR(TO_DATE('2024-05-01'))", "0"),
        ("YEAR(TO_TIME('15:30:45'))", "error"),
        ("YEAROFWEEKISO(TO_DATE('2016-01-02'))", "2015"),
        ("DAYNAME(TO_DATE('2024-04-01'))", "Mon"),
        ("MONTHNAME(TO_DATE('2024-04-01'))", "Apr"),
        ("YEAR(NULL)", "NULL"),
    ]);
}

#[test]
fn adding() {
    check(&[
        ("DATEADD('year', 2, TO_DATE('2013-05-08'))", "2015-05-08"),
        ("DATEADD('hour', 2, TO_DATE('2013-05-08'))", "2013-05-08 02:00:00.000"),
        ("DATEADD('month', 1, TO_DATE('2023-01-31'))", "2023-02-28"),
        ("DATEADD('quarter', -1, TO_DATE('2023-05-31'))", "2023-02-28"),
        ("DATEADD('week', 1, '2013-05-08 11:22:33.444'::TIMESTAMP)", "2013-05-15 11:22:33.444"),
        ("DATEADD('minute', 90, TO_TIME('23:00:00'))", "00:30:00"),
        ("DATEADD('day', 1, TO_TIME('23:00:00'))", "error"),
        ("DATEADD('day', 1.5, TO_DATE('2013-05-08'))", "2013-05-10"),
        ("DATEADD('day', NULL, TO_DATE('2013-05-08'))", "NULL"),
        ("DATEADD('day', 1, '2013-05-08')", "2013-05-09 00:00:00.000"),
        ("TIMESTAMPADD('ms', 1, TO_TIMESTAMP('2013-05-08'))", "2013-05-08 00:00:00.001"),
        ("DATEADD('year', 9999999, TO_DATE('2013-05-08'))", "error"),
        ("ADD_MONTHS(TO_DATE('2016-02-29'), 1)", "2016-03-31"),
        ("ADD_MONTHS(TO_DATE('2016-05-31'), -1)", "2016-04-30"),
        ("ADD_MONTHS(TO_DATE('2016-05-15'), 2)", "2016-07-15"),
    ]);
}

#[test]
fn differences() {
    check(&[
        ("DATEDIFF('year', TO_DATE('2015-12-31'), TO_DATE('2016-01-01'))", "1"),
        ("DATEDIFF('month', TO_DATE('2016-01-01'), TO_DATE('2017-12-31'))", "23"),
        ("DATEDIFF('day', TO_DATE('2016-08-23'), TO_DATE('2016-09-07'))", "15"),
        ("DATEDIFF('week', TO_DATE('2017-01-01'), TO_DATE('2017-12-31'))", "52"),
        ("DATEDIFF('week', TO_DATE('2017-01-01'), TO_DATE('2017-01-02'))", "1"),
        ("DATEDIFF('hour', TO_TIMESTAMP('2016-01-01 01:59:59'), TO_TIMESTAMP('2016-01-01 02:00:00'))", "1"),
        ("DATEDIFF('second', TO_TIME('10:00:00'), TO_TIME('10:01:00'))", "60"),
        ("DATEDIFF('day', '2024-01-01', '2023-12-31')", "-1"),
        ("MONTHS_BETWEEN(TO_DATE('2019-03-01'), TO_DATE('2019-02-15'))", "0.548387"),
        ("MONTHS_BETWEEN(TO_DATE('2019-03-31'), TO_DATE('2019-02-28'))", "1.000000"),
    ]);
}

#[test]
fn boundaries() {
    check(&[
        ("DATE_TRUNC('month', TO_DATE('2015-05-08'))", "2015-05-01"),
        ("DATE_TRUNC('quarter', TO_TIMESTAMP('2015-05-08T23:39:20.123'))", "2015-04-01 00:00:00.000"),
        ("DATE_TRUNC('minute', TO_TIMESTAMP('2015-05-08T23:39:20.123'))", "2015-05-08 23:39:00.000"),
        ("DATE_TRUNC('week', TO_DATE('2024-04-07'))", "2024-04-01"),
        ("DATE_TRUNC('hour', TO_TIME('23:39:20'))", "23:00:00"),
        ("DATE_TRUNC('day', TO_TIMESTAMP_TZ('2024-04-07 23:30:00 +0200'))", "2024-04-07 00:00:00.000 +0200"),
        ("LAST_DAY(TO_DATE('2024-02-08'))", "2024-02-29"),
        ("LAST_DAY(TO_TIMESTAMP('2015-05-08T23:39:20.123'), 'year')", "2015-12-31"),
        ("LAST_DAY(TO_DATE('2024-04-03'), 'week')", "2024-04-07"),
        ("NEXT_DAY(TO_DATE('2024-04-01'), 'mo')", "2024-04-08"),
        ("NEXT_DAY(TO_DATE('2024-04-01'), 'Friday ')", "2024-04-05"),
        ("PREVIOUS_DAY(TO_DATE('2024-04-01'), 'su')", "2024-03-31"),
        ("PREVIOUS_DAY(TO_DATE('2024-04-01'), 'Mon')", "2024-03-25"),
        ("NEXT_DAY(TO_DATE('2024-04-01'), 'xx')", "error"),
        ("TIME_SLICE(TO_DATE('2019-02-28'), 4, 'MONTH', 'START')", "2019-01-01"),
        ("TIME_SLICE(TO_DATE('2019-02-28'), 4, 'MONTH', 'END')", "2019-05-01"),
        ("TIME_SLICE(TO_TIMESTAMP('2019-02-28T01:23:45.678'), 15, 'MINUTE')", "2019-02-28 01:15:00.000"),
        ("TIME_SLICE(TO_DATE('2019-02-28'), 0, 'MONTH')", "error"),
    ]);
}

#[test]
fn assembling() {
    check(&[
        ("DATE_FROM_PARTS(1977, 8, 7)", "1977-08-07"),
        ("DATE_FROM_PARTS(2010, 1, 100)", "2010-04-10"),
        ("DATE_FROM_PARTS(2010, 1 + 24, 1)", "2012-01-01"),
        ("DATE_FROM_PARTS(2004, 1, 0)", "2003-12-31"),
        ("DATE_FROM_PARTS(2004, 0, 1)", "2003-12-01"),
        ("DATE_FROM_PARTS(2004, -1, -1)", "2003-10-30"),
        ("TIME_FROM_PARTS(12, 34, 56, 987654321)", "12:34:56"),
        ("TIME_FROM_PARTS(0, 100, 0)", "01:40:00"),
        ("TIMESTAMP_NTZ_FROM_PARTS(2013, 4, 5, 12, 0, 0, 987654321)", "2013-04-05 12:00:00.987"),
        ("TIMESTAMP_NTZ_FROM_PARTS(2013, 4, 5, 12, 0, 3600)", "2013-04-05 13:00:00.000"),
        ("TIMESTAMP_NTZ_FROM_PARTS(TO_DATE('2013-04-05'), TO_TIME('12:00:00'))", "2013-04-05 12:00:00.000"),
        ("TIMESTAMP_TZ_FROM_PARTS(2013, 4, 5, 12, 0, 0, 0, 'America/Los_Angeles')", "2013-04-05 12:00:00.000 -0700"),
        ("TIMESTAMP_FROM_PARTS(2013, 4, 5)", "error"),
    ]);
}

#[test]
fn converting() {
    check(&[
        ("TO_DATE('05/10/2024', 'MM/DD/YYYY')", "2024-05-10"),
        ("TO_DATE('31536000000')", "1971-01-01"),
        ("TRY_TO_DATE('Invalid')", "NULL"),
        ("TO_DATE('Invalid')", "error"),
        ("TO_DATE(20240101)", "error"),
        ("DATE(TO_TIMESTAMP('2024-10-02T04:00:00.000Z'))", "2024-10-02"),
        ("TO_TIMESTAMP('2024-04-08T23:39:20.123-07:00')", "2024-04-08 23:39:20.123"),
        (
            "TO_TIMESTAMP_TZ('04/05/2013 01:02:03 -0700', 'mm/dd/yyyy hh24:mi:ss tzhtzm')",
            "2013-04-05 01:02:03.000 -0700",
        ),
        ("TO_TIMESTAMP(40 * 365.25 * 86400)", "2010-01-01 00:00:00.000"),
        ("TO_TIMESTAMP(1262304000456, 3)", "2010-01-01 00:00:00.456"),
        ("TO_TIMESTAMP_NTZ(TO_DATE('2024-01-01'))", "2024-01-01 00:00:00.000"),
        ("TO_TIME('11.15.00', 'HH24.MI.SS')", "11:15:00"),
        ("TRY_TO_TIMESTAMP('2300-13-01')", "NULL"),
        (
            "CONVERT_TIMEZONE('America/Los_Angeles', 'America/New_York', TO_TIMESTAMP_NTZ('2024-01-01 14:00:00'))",
            "2024-01-01 17:00:00.000",
        ),
        ("CONVERT_TIMEZONE('Europe/Warsaw', 'UTC', '2024-01-01 00:00:00')", "2023-12-31 23:00:00.000"),
        (
            "CONVERT_TIMEZONE('America/Los_Angeles', TO_TIMESTAMP_TZ('2024-04-05 12:00:00 +02:00'))",
            "2024-04-05 03:00:00.000 -0700",
        ),
        ("CONVERT_TIMEZONE('Mars', 'UTC', '2024-01-01')", "error"),
    ]);
}

#[test]
fn session_zone_and_clock() {
    let parameters = SessionParameters {
        timezone: "America/Los_Angeles".to_owned(),
        now: 1_704_067_200_123_456_789,
        ..SessionParameters::default()
    };
    check_with(
        &parameters,
        &[
            ("CURRENT_DATE", "2023-12-31"),
            ("CURRENT_DATE()", "2023-12-31"),
            ("CURRENT_TIME", "16:00:00"),
            ("CURRENT_TIMESTAMP", "2023-12-31 16:00:00.123 -0800"),
            ("CURRENT_TIMESTAMP(0)", "2023-12-31 16:00:00.000 -0800"),
            ("GETDATE()", "2023-12-31 16:00:00.123 -0800"),
            ("SYSDATE()", "2024-01-01 00:00:00.123"),
            ("TO_TIMESTAMP_LTZ('2024-07-01 12:00:00')", "2024-07-01 12:00:00.000 -0700"),
            ("TO_TIMESTAMP_LTZ('2024-07-01 12:00:00 +0000')", "2024-07-01 05:00:00.000 -0700"),
            ("DATEADD('day', 1, TO_TIMESTAMP_LTZ('2024-03-09 12:00:00'))", "2024-03-10 12:00:00.000 -0700"),
            ("DATEADD('hour', 24, TO_TIMESTAMP_LTZ('2024-03-09 12:00:00'))", "2024-03-10 13:00:00.000 -0700"),
            ("DATE_TRUNC('day', TO_TIMESTAMP_LTZ('2024-07-01 01:00:00 +0000'))", "2024-06-30 00:00:00.000 -0700"),
            ("TO_TIMESTAMP_NTZ(TO_TIMESTAMP_LTZ('2024-07-01 12:00:00 +0000'))", "2024-07-01 05:00:00.000"),
            ("TO_TIMESTAMP_TZ(TO_TIMESTAMP_NTZ('2024-07-01 12:00:00'))", "2024-07-01 12:00:00.000 -0700"),
        ],
    );
}
