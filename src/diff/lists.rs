//! Lists whose places moved: how many of the first are still there (overlap), and whether what stayed is in the same order
//! (Kendall's tau-b, Knight's way of counting it).

use std::collections::HashMap;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::compute::kernels::zip::zip;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};

use super::Question;
use super::pairs::one_row;
use crate::dialect::Column;
use crate::name::Name;

/// The lengths at which lists are held against each other.
const DEPTHS: [usize; 5] = [1, 3, 5, 10, 20];

/// How places moved, over all lists.
#[derive(Clone, Debug, Default)]
pub struct Movements {
    /// Lists that are there before and after.
    pub lists: u64,
    /// Of these, lists with the same items in the same places.
    pub same: u64,
    /// Lists that are new.
    pub added: u64,
    /// Lists that are gone.
    pub removed: u64,
    /// The mean of Kendall's tau over the lists of which two items or more stayed; none where there is no such list.
    pub tau: Option<f64>,
    /// For a length, the mean share of the first so many that are among the first so many still; up to the longest list.
    pub overlaps: Vec<(usize, f64)>,
    /// The columns that tell the lists apart.
    pub by: Vec<Name>,
    /// The lists that moved most.
    pub most: Vec<Movement>,
}

/// How the places of one list moved.
#[derive(Clone, Debug)]
pub struct Movement {
    /// The values of the columns that tell it apart, as one row; none where it is the only one.
    pub list: Option<RecordBatch>,
    /// Kendall's tau of the items that stayed; none where fewer than two did.
    pub tau: Option<f64>,
    /// Items that stayed.
    pub stayed: u64,
    /// Items that came.
    pub came: u64,
    /// Items that went.
    pub went: u64,
}

/// The places of all rows, as they are seen.
pub(super) struct Places {
    by: Vec<(usize, usize)>,
    place: (usize, usize),
    columns: Vec<Column>,
    converter: RowConverter,
    numbers: HashMap<OwnedRow, u32>,
    /// A list's number, the item's place before and after; NaN where it has none.
    items: Vec<(u32, f64, f64)>,
}

impl Places {
    /// No row yet; none where the rows are no places of lists.
    pub(super) fn of(question: &Question) -> Result<Option<Self>, ArrowError> {
        let Some(lists) = &question.lists else { return Ok(None) };
        let both = |name: &Name| Some((question.before.position(name)?, question.after.position(name)?));
        let Some(place) = both(&lists.place) else { return Ok(None) };
        let by: Vec<(usize, usize)> = lists.by.iter().filter_map(both).collect();
        let schema = question.after.rows.schema();
        let fields = by.iter().map(|(_, after)| SortField::new(schema.field(*after).data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        let columns = by.iter().map(|(_, after)| question.after.columns[*after].clone()).collect();
        Ok(Some(Self { by, place, columns, converter, numbers: HashMap::new(), items: Vec::new() }))
    }

    /// Adds a batch of pairs.
    pub(super) fn add(
        &mut self,
        before: &[ArrayRef],
        after: &[ArrayRef],
        here_before: &BooleanArray,
        here_after: &BooleanArray,
    ) -> Result<(), ArrowError> {
        let list =
            |(old, new): &(usize, usize)| zip(here_after, &after[*new], &cast(&before[*old], after[*new].data_type())?);
        let lists: Vec<ArrayRef> = self.by.iter().map(list).collect::<Result<_, _>>()?;
        let rows = if lists.is_empty() { None } else { Some(self.converter.convert_columns(&lists)?) };
        let place = |array: &ArrayRef| cast(array, &DataType::Float64);
        let (old, new) = (place(&before[self.place.0])?, place(&after[self.place.1])?);
        let (old, new) = (old.as_primitive::<Float64Type>(), new.as_primitive::<Float64Type>());
        for row in 0..here_before.len() {
            let number = match &rows {
                None => 0,
                Some(rows) => {
                    let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
                    *self.numbers.entry(rows.row(row).owned()).or_insert(next)
                }
            };
            let value = |here: &BooleanArray, array: &datafusion::arrow::array::Float64Array| {
                if here.value(row) && array.is_valid(row) { array.value(row) } else { f64::NAN }
            };
            self.items.push((number, value(here_before, old), value(here_after, new)));
        }
        Ok(())
    }

    /// What became of the lists; so many of those that moved most.
    pub(super) fn movements(mut self, shown: usize) -> Result<Movements, ArrowError> {
        self.items.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.total_cmp(&b.2)));
        let mut movements =
            Movements { by: self.columns.iter().map(|c| c.name.clone()).collect(), ..Movements::default() };
        let (mut taus, mut overlaps, mut longest) = (Vec::new(), vec![0.0; DEPTHS.len()], 0);
        let mut moved: Vec<(u32, Movement)> = Vec::new();
        for items in self.items.chunk_by(|a, b| a.0 == b.0) {
            let pairs: Vec<(f64, f64)> = items.iter().map(|(_, before, after)| (*before, *after)).collect();
            let (was, is) = (places(&pairs, |pair| pair.0), places(&pairs, |pair| pair.1));
            match (was.is_empty(), is.is_empty()) {
                (true, true) => continue,
                (true, false) => movements.added += 1,
                (false, true) => movements.removed += 1,
                (false, false) => {
                    longest = longest.max(was.len()).max(is.len());
                    movements.lists += 1;
                    for (sum, depth) in overlaps.iter_mut().zip(DEPTHS) {
                        *sum += overlap(&was, &is, depth);
                    }
                    let movement = movement(&pairs);
                    taus.extend(movement.tau);
                    if pairs.iter().all(|(before, after)| before == after) {
                        movements.same += 1;
                    } else {
                        moved.push((items[0].0, movement));
                    }
                }
            }
        }
        let lists = count(movements.lists);
        if movements.lists > 0 {
            let deep = DEPTHS.iter().position(|depth| *depth >= longest).map_or(DEPTHS.len(), |last| last + 1);
            movements.overlaps = DEPTHS.into_iter().zip(overlaps).take(deep).map(|(k, sum)| (k, sum / lists)).collect();
        }
        movements.tau = (!taus.is_empty()).then(|| taus.iter().sum::<f64>() / count(taus.len() as u64));
        moved.sort_by(|(a, left), (b, right)| left.steadiness().total_cmp(&right.steadiness()).then(a.cmp(b)));
        moved.truncate(shown);
        movements.most = self.named(moved)?;
        Ok(movements)
    }

    fn named(&self, moved: Vec<(u32, Movement)>) -> Result<Vec<Movement>, ArrowError> {
        let by_number: HashMap<u32, &OwnedRow> = self.numbers.iter().map(|(row, number)| (*number, row)).collect();
        let mut named = Vec::new();
        for (number, movement) in moved {
            let list = match by_number.get(&number) {
                Some(row) => Some(one_row(&self.columns, &self.converter.convert_rows([row.row()])?, 0)?),
                None => None,
            };
            named.push(Movement { list, ..movement });
        }
        Ok(named)
    }
}

impl Movement {
    /// How steady the list was: the share of its items that stayed, and their order.
    fn steadiness(&self) -> f64 {
        let all = count(self.stayed + self.came.max(self.went));
        count(self.stayed) / all * (1.0 + self.tau.unwrap_or(1.0)) / 2.0
    }
}

/// The items of one side by place, as positions in the pairs.
fn places(pairs: &[(f64, f64)], side: impl Fn(&(f64, f64)) -> f64) -> Vec<usize> {
    let mut there: Vec<usize> = (0..pairs.len()).filter(|at| !side(&pairs[*at]).is_nan()).collect();
    there.sort_by(|a, b| side(&pairs[*a]).total_cmp(&side(&pairs[*b])).then(a.cmp(b)));
    there
}

/// The share of the first `depth` items of either list that both have among them.
fn overlap(was: &[usize], is: &[usize], depth: usize) -> f64 {
    let (was, is) = (&was[..depth.min(was.len())], &is[..depth.min(is.len())]);
    let known: std::collections::HashSet<usize> = was.iter().copied().collect();
    let both = is.iter().filter(|item| known.contains(item)).count();
    count(both as u64) / count(was.len().max(is.len()) as u64)
}

fn movement(pairs: &[(f64, f64)]) -> Movement {
    let mut stayed: Vec<(f64, f64)> =
        pairs.iter().copied().filter(|(before, after)| !before.is_nan() && !after.is_nan()).collect();
    let came = pairs.iter().filter(|(before, after)| before.is_nan() && !after.is_nan()).count();
    let went = pairs.iter().filter(|(before, after)| !before.is_nan() && after.is_nan()).count();
    let (kept, tau) = (stayed.len(), tau(&mut stayed));
    Movement { list: None, tau, stayed: kept as u64, came: came as u64, went: went as u64 }
}

/// Kendall's tau-b (Kendall 1945), counted as Knight (1966) does: sorted by one place, the exchanges that a merge sort by the
/// other makes are the discordant pairs. None for fewer than two items, or where all share one place.
fn tau(pairs: &mut [(f64, f64)]) -> Option<f64> {
    if pairs.len() < 2 {
        return None;
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let all = choose(pairs.len());
    let tied_before = tied(pairs, |a, b| a.0 == b.0);
    let tied_both = tied(pairs, |a, b| a == b);
    let mut after: Vec<f64> = pairs.iter().map(|pair| pair.1).collect();
    let exchanges = sort(&mut after);
    let tied_after = tied(&after, |a, b| a == b);
    let divisor = ((all - tied_before) * (all - tied_after)).sqrt();
    (divisor > 0.0).then(|| (all - tied_before - tied_after + tied_both - 2.0 * exchanges) / divisor)
}

/// Pairs of neighbours that are equal, over all runs of them.
fn tied<T>(sorted: &[T], same: impl Fn(&T, &T) -> bool) -> f64 {
    sorted.chunk_by(same).map(|run| choose(run.len())).sum()
}

fn choose(items: usize) -> f64 {
    let items = count(items as u64);
    items * (items - 1.0) / 2.0
}

/// Sorts, and gives how many pairs were in the wrong order.
fn sort(values: &mut [f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let middle = values.len() / 2;
    let mut exchanges = sort(&mut values[..middle]) + sort(&mut values[middle..]);
    let (left, right) = (values[..middle].to_vec(), values[middle..].to_vec());
    let (mut i, mut j) = (0, 0);
    for value in values.iter_mut() {
        if j == right.len() || (i < left.len() && left[i] <= right[j]) {
            *value = left[i];
            i += 1;
        } else {
            *value = right[j];
            j += 1;
            exchanges += count((left.len() - i) as u64);
        }
    }
    exchanges
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn count(items: u64) -> f64 {
    items as f64
}

#[cfg(test)]
mod tests {
    use super::{overlap, tau};

    #[test]
    fn tau_is_that_of_scipy() {
        // scipy.stats.kendalltau of the same pairs.
        for (pairs, expected) in [
            (vec![(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)], Some(1.0)),
            (vec![(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)], Some(-1.0)),
            (vec![(1.0, 2.0), (2.0, 1.0), (3.0, 4.0), (4.0, 3.0), (5.0, 5.0)], Some(0.6)),
            (vec![(1.0, 1.0), (2.0, 1.0), (3.0, 3.0)], Some(0.816_496_580_927_726)),
            (vec![(1.0, 1.0), (1.0, 2.0), (2.0, 2.0), (3.0, 1.0)], Some(-0.223_606_797_749_979)),
            (vec![(1.0, 1.0)], None),
            (vec![(1.0, 2.0), (1.0, 3.0)], None),
        ] {
            let mut shuffled = pairs.clone();
            shuffled.reverse();
            match (tau(&mut shuffled), expected) {
                (Some(found), Some(expected)) => assert!((found - expected).abs() < 1e-12, "{pairs:?}: {found}"),
                (found, expected) => assert_eq!(found, expected, "{pairs:?}"),
            }
        }
    }

    #[test]
    fn overlap_is_the_share_of_the_longer_beginning() {
        assert!((overlap(&[1, 2, 3], &[2, 1, 4], 1) - 0.0).abs() < 1e-12);
        assert!((overlap(&[1, 2, 3], &[2, 1, 4], 2) - 1.0).abs() < 1e-12);
        assert!((overlap(&[1, 2, 3], &[2, 1, 4], 5) - 2.0 / 3.0).abs() < 1e-12);
        assert!((overlap(&[1], &[1, 2, 3, 4], 5) - 0.25).abs() < 1e-12);
    }
}
