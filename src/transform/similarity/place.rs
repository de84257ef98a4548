//! An item's number in the width that fits, and the loops that add to accumulators by it. Narrow numbers halve the
//! memory that these loops walk through, and need no check that an accumulator exists.

use std::hint::black_box;

/// How many rows are fetched ahead of adding them up.
const AHEAD: usize = 16;

/// An item's number.
pub(super) trait Place: Copy + Default + Send + Sync {
    /// How many accumulators the loops want, at least.
    const ROOM: usize;

    /// From a number that fits.
    fn of(number: u32) -> Self;

    /// As an index.
    fn at(self) -> usize;

    /// Adds 1 for every item of these parts of `items`.
    fn count(items: &[Self], parts: &[(u32, u32)], counts: &mut [u32]);

    /// Adds each part's factor times the item's for every item of these parts.
    fn add(items: &[Self], values: &[f64], parts: &[(u32, u32)], factors: &[f64], sums: &mut [f64]);
}

impl Place for u32 {
    const ROOM: usize = 0;

    fn of(number: u32) -> Self {
        number
    }

    fn at(self) -> usize {
        self as usize
    }

    fn count(items: &[Self], parts: &[(u32, u32)], counts: &mut [u32]) {
        each(items, parts, |_, range| items[range].iter().for_each(|item| counts[item.at()] += 1));
    }

    fn add(items: &[Self], values: &[f64], parts: &[(u32, u32)], factors: &[f64], sums: &mut [f64]) {
        each(items, parts, |at, range| {
            let factor = factors[at];
            for (item, value) in items[range.clone()].iter().zip(&values[range]) {
                sums[item.at()] += factor * value;
            }
        });
    }
}

/// As many accumulators as there are numbers of 16 bits.
const NARROW: usize = 1 << 16;

impl Place for u16 {
    const ROOM: usize = NARROW;

    fn of(number: u32) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }

    fn at(self) -> usize {
        usize::from(self)
    }

    fn count(items: &[Self], parts: &[(u32, u32)], counts: &mut [u32]) {
        let Some(counts) = counts.first_chunk_mut::<NARROW>() else { return };
        each(items, parts, |_, range| items[range].iter().for_each(|item| counts[item.at()] += 1));
    }

    fn add(items: &[Self], values: &[f64], parts: &[(u32, u32)], factors: &[f64], sums: &mut [f64]) {
        let Some(sums) = sums.first_chunk_mut::<NARROW>() else { return };
        each(items, parts, |at, range| {
            let factor = factors[at];
            for (item, value) in items[range.clone()].iter().zip(&values[range]) {
                sums[item.at()] += factor * value;
            }
        });
    }
}

/// Goes through parts of `items`, which lie far from each other: a few at a time are touched first, so that the
/// processor waits for all of them at once.
#[inline(always)]
fn each<P: Place>(items: &[P], parts: &[(u32, u32)], mut with: impl FnMut(usize, std::ops::Range<usize>)) {
    for (first, parts) in (0..).step_by(AHEAD).zip(parts.chunks(AHEAD)) {
        let touch = |at: u32| items.get(at as usize).map_or(0, |item| item.at());
        black_box(parts.iter().fold(0, |sum, (from, to)| sum ^ touch(*from) ^ touch(to.wrapping_sub(1))));
        for (at, (from, to)) in (first..).zip(parts) {
            with(at, *from as usize..*to as usize);
        }
    }
}
