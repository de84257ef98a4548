//! What is usual and what is off: medians, spreads, and the day since which a series is not what it was. Pure numbers; it
//! knows no tables.

use chrono::NaiveDate;

/// Days that must lie before a day for it to be judged by them.
pub const FEWEST_DAYS: usize = 7;
/// Days before a day that say what is usual for it.
const MOST_DAYS: usize = 14;
/// Days that make up the level just before a day.
const LEVEL_DAYS: usize = 5;
/// How many spreads make a value off.
const SPREADS: f64 = 5.0;
/// The most that a steady growth may add a day, as a logarithm.
const STEEPEST: f64 = 0.12;
/// However rough the past was, a day with this much more or less (as a logarithm) may be off.
const ROUGHEST: f64 = 0.58;

/// The middle of some values.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 { Some(upper) } else { values.get(middle - 1).map(|lower| f64::midpoint(*lower, upper)) }
}

/// How far values usually are from their median: the median absolute deviation, scaled to be a standard deviation where
/// they are normal.
pub fn spread(values: &[f64]) -> f64 {
    let Some(middle) = median(values.iter().copied()) else { return 0.0 };
    1.4826 * median(values.iter().map(|value| (value - middle).abs())).unwrap_or_default()
}

/// Whether a value is further from earlier ones than they are from each other, and than `floor`.
pub fn is_off(value: f64, earlier: &[f64], floor: f64) -> bool {
    median(earlier.iter().copied()).is_some_and(|usual| (value - usual).abs() > floor.max(SPREADS * spread(earlier)))
}

/// A value of a day, and how many rows it was measured on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The day.
    pub day: NaiveDate,
    /// The value.
    pub value: f64,
    /// The rows.
    pub rows: u64,
}

/// Days on which a series is not what it was before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Break {
    /// The first such day.
    pub since: NaiveDate,
    /// The last such day.
    pub until: NaiveDate,
    /// The median of the values on those days.
    pub seen: f64,
    /// What was to be expected.
    pub usual: f64,
}

/// The latest run of days, not before `from`, whose values are off. `floor` gives how far a value measured on so many rows
/// may be from a usual one whatever the spread.
pub fn value_break(points: &[Point], from: NaiveDate, floor: impl Fn(f64, u64) -> f64) -> Option<Break> {
    let mut off: Vec<bool> = vec![false; points.len()];
    let mut found: Option<(usize, usize, f64)> = None;
    for (at, point) in points.iter().enumerate() {
        let usual: Vec<f64> =
            (0..at).rev().filter(|before| !off[*before]).take(MOST_DAYS).map(|i| points[i].value).collect();
        if point.day < from || usual.len() < FEWEST_DAYS {
            continue;
        }
        let middle = median(usual.iter().copied())?;
        if is_off(point.value, &usual, floor(middle, point.rows)) {
            off[at] = true;
            found = Some(match found {
                Some((first, last, usual)) if last + 1 == at => (first, at, usual),
                _ => (at, at, middle),
            });
        }
    }
    let (first, last, usual) = found?;
    let seen = median(points[first..=last].iter().map(|point| point.value))?;
    Some(Break { since: points[first].day, until: points[last].day, seen, usual })
}

/// The latest run of days, not before `from`, with many more or fewer rows than the days before let expect. `share` is how
/// far below (in hundredths of 1) is off; as far above, in ratio, is too. A steady growth is followed, a rhythm of weeks is
/// known where there is a week before, and days of few rows are given the benefit of chance. The days are consecutive.
pub fn volume_break(days: &[(NaiveDate, u64)], from: NaiveDate, share: f64) -> Option<Break> {
    let counts: Vec<f64> = days.iter().map(|(_, rows)| (exact(*rows) + 0.5).ln()).collect();
    let mut off = vec![false; days.len()];
    let mut surprises: Vec<Option<f64>> = vec![None; days.len()];
    let mut found: Option<(usize, usize, f64)> = None;
    for at in 0..days.len() {
        if let Some((first, last, level)) = found
            && last + 1 == at
            && stays(counts[at] - level, counts[first] - level, share)
        {
            off[at] = true;
            found = Some((first, at, level));
            continue;
        }
        let before: Vec<usize> = (0..at).rev().filter(|before| !off[*before]).take(MOST_DAYS).collect();
        let Some(expected) = expected(&counts, &before, at) else { continue };
        let surprise = counts[at] - expected;
        let week_before = at.checked_sub(7).and_then(|at| surprises[at]).unwrap_or_default();
        let past: Vec<f64> = before.iter().filter_map(|at| surprises[*at]).collect();
        surprises[at] = Some(surprise);
        let bound = (-(1.0 - share).ln())
            .max((SPREADS * spread(&past)).min(ROUGHEST))
            .max(SPREADS / expected.exp().max(1.0).sqrt());
        let is_new = surprise.abs() > bound && (surprise - week_before).abs() > bound;
        if days[at].0 >= from && before.len() >= FEWEST_DAYS && is_new {
            off[at] = true;
            found = Some((at, at, expected));
        }
    }
    let (first, last, level) = found?;
    let seen = median(days[first..=last].iter().map(|(_, rows)| exact(*rows)))?;
    Some(Break { since: days[first].0, until: days[last].0, seen, usual: level.exp() })
}

/// Whether a day after an off one is off as well: on the same side, and at least half as far as is off.
fn stays(distance: f64, first: f64, share: f64) -> bool {
    distance.signum() == first.signum() && distance.abs() > -(1.0 - share).ln() / 2.0
}

/// What the days before let expect of a day, as a logarithm: their latest level, and their growth since.
fn expected(counts: &[f64], before: &[usize], at: usize) -> Option<f64> {
    let level: Vec<usize> = before.iter().copied().take(LEVEL_DAYS).collect();
    if level.len() < 3 {
        return None;
    }
    let middle = median(level.iter().map(|at| counts[*at]))?;
    let centre = median(level.iter().map(|at| exact(*at as u64)))?;
    let ahead = (exact(at as u64) - centre).min(LEVEL_DAYS as f64);
    Some(middle + growth(counts, &before[..before.len().min(FEWEST_DAYS)]) * ahead)
}

/// The median growth a day between any two of these days (Theil and Sen), within reason.
fn growth(counts: &[f64], days: &[usize]) -> f64 {
    if days.len() < LEVEL_DAYS {
        return 0.0;
    }
    let pairs = days.iter().enumerate().flat_map(|(i, a)| days[i + 1..].iter().map(move |b| (*a, *b)));
    let slopes = pairs.map(|(a, b)| (counts[a] - counts[b]) / (exact(a as u64) - exact(b as u64)));
    median(slopes).unwrap_or_default().clamp(-STEEPEST, STEEPEST)
}

/// A count as a number to compute with.
#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^52")]
pub fn exact(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(at: u64) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 10, 1).expect("a date") + chrono::Days::new(at)
    }

    fn days(counts: &[u64]) -> Vec<(NaiveDate, u64)> {
        counts.iter().enumerate().map(|(at, count)| (day(at as u64), *count)).collect()
    }

    #[test]
    fn middles_and_spreads() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0]), Some(2.5));
        assert_eq!(median([]), None);
        assert!((spread(&[1.0, 2.0, 3.0, 4.0, 100.0]) - 1.4826).abs() < 1e-9);
    }

    #[test]
    fn a_steady_series_a_growth_and_a_rhythm_of_weeks_are_usual() {
        let flat = [300, 310, 320, 305, 313, 327, 355, 335, 347, 342, 330, 341, 300];
        let grown = [902, 921, 855, 933, 902, 1024, 950, 1228, 1285, 1486, 1731, 1843, 2181, 2456];
        let weeks = [100, 104, 98, 101, 99, 180, 190, 102, 99, 101, 103, 97, 185, 178, 101, 99, 104, 98, 100, 183, 186];
        for counts in [&flat[..], &grown, &weeks] {
            assert_eq!(volume_break(&days(counts), day(7), 0.33), None, "{counts:?}");
        }
    }

    #[test]
    fn half_the_rows_are_off_from_the_first_such_day() {
        let halved = [300, 310, 320, 305, 313, 327, 355, 335, 347, 342, 165, 170, 150];
        let found = volume_break(&days(&halved), day(7), 0.33).expect("a break");
        assert_eq!((found.since, found.until, found.seen), (day(10), day(12), 165.0));
        assert!((300.0..400.0).contains(&found.usual), "{found:?}");
        let grown = [902, 921, 855, 933, 902, 1024, 950, 1228, 1285, 1486, 1731, 1843, 1090, 1228];
        assert_eq!(volume_break(&days(&grown), day(7), 0.33).map(|found| found.since), Some(day(12)));
        let ended = [300, 310, 320, 305, 313, 327, 355, 335, 347, 342, 330, 0, 0];
        assert_eq!(volume_break(&days(&ended), day(7), 0.33).map(|found| found.since), Some(day(11)));
        let doubled = [300, 310, 320, 305, 313, 327, 355, 335, 347, 342, 330, 680, 640];
        assert_eq!(volume_break(&days(&doubled), day(7), 0.33).map(|found| found.since), Some(day(11)));
    }

    #[test]
    fn few_rows_may_vary_by_chance() {
        assert_eq!(volume_break(&days(&[4, 1, 3, 6, 2, 5, 3, 4, 1, 0, 7, 2]), day(7), 0.33), None);
    }

    #[test]
    fn a_share_that_appears_is_off_since_its_first_day() {
        let points: Vec<Point> =
            (0..12).map(|at| Point { day: day(at), value: if at < 10 { 0.0 } else { 0.2 }, rows: 100 }).collect();
        let found = value_break(&points, day(5), |_, _| 0.01).expect("a break");
        assert_eq!((found.since, found.until, found.usual), (day(10), day(11), 0.0));
        assert_eq!(value_break(&points[..10], day(5), |_, _| 0.01), None);
    }
}
