//! Expected rows against actual ones: which are missing, which nobody expected, and in which cells a row differs. Values are
//! texts here, equal exactly where the values are.

use std::collections::HashMap;

use super::Matching;

/// A row as texts; none for NULL.
pub type Texts = Vec<Option<String>>;

/// By how much the numbers of each column may differ; none for columns that are no numbers.
pub type Tolerances = [Option<f64>];

/// How rows differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// A row is expected and not there.
    Missing(Texts),
    /// A row is there and not expected.
    Unexpected(Texts),
    /// A row is there with other values.
    Changed {
        /// What is expected.
        expected: Texts,
        /// What is there.
        actual: Texts,
    },
    /// A row is there, but at another place.
    Moved {
        /// The row.
        row: Texts,
        /// Its place among the expected rows, counted from 1.
        expected: usize,
        /// Its place among the actual rows, counted from 1.
        actual: usize,
    },
}

/// For each expected row the actual row that it is, or that it became; and the actual rows that are nobody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pairs {
    pub(super) expected: Vec<Pair>,
    pub(super) unexpected: Vec<usize>,
}

/// What became of an expected row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pair {
    Same(usize),
    Changed(usize),
    Missing,
}

/// The differences between rows, none where they are as expected.
pub(super) fn differences(
    expected: &[Texts],
    actual: &[Texts],
    matching: Matching,
    tolerances: &Tolerances,
) -> Vec<Difference> {
    let pairs = pairs(expected, actual, matching, tolerances);
    let mut differences = Vec::new();
    let mut moved = Vec::new();
    for (at, pair) in pairs.expected.iter().enumerate() {
        match *pair {
            Pair::Same(found) => {
                if matching == Matching::Ordered && found != at {
                    moved.push(Difference::Moved { row: expected[at].clone(), expected: at + 1, actual: found + 1 });
                }
            }
            Pair::Changed(found) => {
                differences.push(Difference::Changed { expected: expected[at].clone(), actual: actual[found].clone() })
            }
            Pair::Missing => differences.push(Difference::Missing(expected[at].clone())),
        }
    }
    if matching != Matching::Subset {
        differences.extend(pairs.unexpected.iter().map(|at| Difference::Unexpected(actual[*at].clone())));
    }
    // Where rows are missing or too many, the places of the others say nothing.
    if differences.is_empty() { moved } else { differences }
}

/// Which expected row is which actual row.
pub(super) fn pairs(expected: &[Texts], actual: &[Texts], matching: Matching, tolerances: &Tolerances) -> Pairs {
    let mut found = vec![Pair::Missing; expected.len()];
    let mut free: Vec<bool> = vec![true; actual.len()];
    for (at, same) in equal_rows(expected, actual, matching, tolerances).into_iter().enumerate() {
        if let Some(same) = same {
            found[at] = Pair::Same(same);
            free[same] = false;
        }
    }
    let mut likely = Vec::new();
    for (at, row) in expected.iter().enumerate().filter(|(at, _)| found[*at] == Pair::Missing) {
        for (other, candidate) in actual.iter().enumerate().filter(|(other, _)| free[*other]) {
            let cells = row.iter().zip(candidate).zip(tolerances);
            let alike = cells.filter(|((a, b), tolerance)| equal(a.as_deref(), b.as_deref(), **tolerance)).count();
            if alike * 2 >= row.len() && alike > 0 {
                likely.push((row.len() - alike, at, other));
            }
        }
    }
    likely.sort_unstable();
    for (_, at, other) in likely {
        if found[at] == Pair::Missing && free[other] {
            found[at] = Pair::Changed(other);
            free[other] = false;
        }
    }
    Pairs { expected: found, unexpected: (0..actual.len()).filter(|at| free[*at]).collect() }
}

/// For each expected row an actual row that is equal to it, no row taken twice, and as many as can be.
fn equal_rows(expected: &[Texts], actual: &[Texts], matching: Matching, tolerances: &Tolerances) -> Vec<Option<usize>> {
    let same = |at: usize, other: usize| {
        let mut cells = expected[at].iter().zip(&actual[other]).zip(tolerances);
        cells.all(|((a, b), tolerance)| equal(a.as_deref(), b.as_deref(), *tolerance))
    };
    let mut found: Vec<Option<usize>> = vec![None; expected.len()];
    let mut taken: Vec<Option<usize>> = vec![None; actual.len()];
    if matching == Matching::Ordered {
        for at in 0..expected.len().min(actual.len()) {
            if same(at, at) {
                (found[at], taken[at]) = (Some(at), Some(at));
            }
        }
    }
    let mut by_text: HashMap<&Texts, Vec<usize>> = HashMap::new();
    for (other, row) in actual.iter().enumerate().rev().filter(|(other, _)| taken[*other].is_none()) {
        by_text.entry(row).or_default().push(other);
    }
    for (at, row) in expected.iter().enumerate().filter(|(at, _)| found[*at].is_none()).collect::<Vec<_>>() {
        if let Some(other) = by_text.get_mut(row).and_then(Vec::pop) {
            (found[at], taken[other]) = (Some(other), Some(at));
        }
    }
    if tolerances.iter().flatten().any(|tolerance| *tolerance > 0.0) {
        for at in 0..expected.len() {
            if found[at].is_none() {
                let mut seen = vec![false; actual.len()];
                augment(at, &same, &mut found, &mut taken, &mut seen);
            }
        }
    }
    found
}

/// Finds a row for `at`, moving earlier finds to other rows that fit them as well.
fn augment(
    at: usize,
    same: &dyn Fn(usize, usize) -> bool,
    found: &mut [Option<usize>],
    taken: &mut [Option<usize>],
    seen: &mut [bool],
) -> bool {
    for other in 0..taken.len() {
        if seen[other] || !same(at, other) {
            continue;
        }
        seen[other] = true;
        let free = match taken[other] {
            None => true,
            Some(holder) => augment(holder, same, found, taken, seen),
        };
        if free {
            (found[at], taken[other]) = (Some(other), Some(at));
            return true;
        }
    }
    false
}

/// Whether two cells are the same, numbers within the tolerance of their column.
pub fn equal(a: Option<&str>, b: Option<&str>, tolerance: Option<f64>) -> bool {
    if a == b {
        return true;
    }
    let (Some(a), Some(b), Some(tolerance)) = (a, b, tolerance.filter(|tolerance| *tolerance > 0.0)) else {
        return false;
    };
    match (a.parse::<f64>(), b.parse::<f64>()) {
        // The tolerance itself is within it, whatever binary rounding says of decimal texts.
        (Ok(a), Ok(b)) => (a - b).abs() <= tolerance * (1.0 + 1e-9),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(text: &str) -> Vec<Texts> {
        let cell = |cell: &str| (cell != "-").then(|| cell.to_owned());
        text.lines().map(|line| line.split_whitespace().map(cell).collect()).collect()
    }

    fn told(expected: &str, actual: &str, matching: Matching, tolerance: f64) -> Vec<String> {
        let tolerances = [None, Some(tolerance)];
        let text = |row: &Texts| row.iter().map(|cell| cell.as_deref().unwrap_or("-")).collect::<Vec<_>>().join(" ");
        let one = |difference: &Difference| match difference {
            Difference::Missing(row) => format!("- {}", text(row)),
            Difference::Unexpected(row) => format!("+ {}", text(row)),
            Difference::Changed { expected, actual } => format!("{} > {}", text(expected), text(actual)),
            Difference::Moved { row, expected, actual } => format!("{} {expected} > {actual}", text(row)),
        };
        differences(&rows(expected), &rows(actual), matching, &tolerances).iter().map(one).collect()
    }

    #[test]
    fn rows_are_a_multiset_unless_their_order_is_expected() {
        use Matching::{Ordered, Subset, Unordered};
        assert!(told("a 1\nb 2\na 1", "b 2\na 1\na 1", Unordered, 0.0).is_empty());
        assert_eq!(told("a 1\na 1", "a 1", Unordered, 0.0), ["- a 1"]);
        assert_eq!(told("a 1", "a 1\na 1", Unordered, 0.0), ["+ a 1"]);
        assert_eq!(told("a 1\nb 2", "b 2\na 1", Ordered, 0.0), ["a 1 1 > 2", "b 2 2 > 1"]);
        assert_eq!(told("a 1\nb -", "a 1\nb 2\nc 3", Subset, 0.0), ["b - > b 2"]);
        assert!(told("a 1\na 1", "a 1\na 1", Ordered, 0.0).is_empty());
        assert_eq!(told("a 1\nz 9", "a 2\nc 3", Unordered, 0.0), ["a 1 > a 2", "- z 9", "+ c 3"]);
    }

    #[test]
    fn numbers_within_the_tolerance_are_paired_as_well_as_can_be() {
        assert!(told("a 1.0\na 1.1", "a 1.05\na 1.2", Matching::Unordered, 0.1).is_empty());
        assert!(told("a 1.1\na 1.0", "a 1.05\na 1.2", Matching::Unordered, 0.1).is_empty());
        assert_eq!(told("a 1.0", "a 1.11", Matching::Unordered, 0.1), ["a 1.0 > a 1.11"]);
        assert_eq!(told("a -", "a 0", Matching::Unordered, 0.1), ["a - > a 0"]);
    }

    proptest! {
        #[test]
        fn any_order_of_the_same_rows_is_no_difference(
            (rows, shuffled) in proptest::collection::vec((0..3_u8, 0..4_u8), 0..12)
                .prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
        ) {
            let texts = |rows: &[(u8, u8)]| rows.iter().map(|(a, b)| vec![Some(a.to_string()), Some(b.to_string())]).collect::<Vec<Texts>>();
            let (rows, shuffled) = (texts(&rows), texts(&shuffled));
            prop_assert_eq!(differences(&rows, &shuffled, Matching::Unordered, &[None, Some(0.5)]), vec![]);
            if let Some((_, rest)) = shuffled.split_first() {
                prop_assert_eq!(differences(&rows, rest, Matching::Unordered, &[None, None]).len(), 1);
                prop_assert_eq!(differences(rest, &rows, Matching::Subset, &[None, None]), vec![]);
            }
        }
    }
}
