//! How the next row of a list is chosen for diversity. It knows neither caps nor quotas: it is asked for the best among
//! those that may come next.

use std::collections::HashMap;
use std::sync::Arc;

use crate::transform::column::{OnNan, Table};
use crate::transform::keys::{Groups, Keys, encode_parts};
use crate::transform::{TransformError, keys};

use super::score::normalize;
use super::{Diversity, DiversityMethod, Normalize, Rank};

/// A share of the wanted distribution is mixed into the list's, so that no logarithm of zero arises: Steck 2018, α.
const SMOOTHING: f64 = 0.01;

/// What is known of rows for diversity.
pub(super) struct Variety<'a> {
    settings: &'a Diversity,
    likeness: Likeness,
    /// The attribute's code of each row, for xquad and calibrated.
    attribute: Vec<u32>,
    /// By partition code, the wanted weight of each attribute code.
    profile: HashMap<u32, Vec<(u32, f64)>>,
}

enum Likeness {
    /// By row, the codes of each attribute.
    Attributes(Vec<Vec<u32>>),
    /// By row the item's code; by item its pairs.
    Pairs { items: Vec<u32>, groups: Groups, others: Vec<u32>, scores: Vec<f64> },
}

impl<'a> Variety<'a> {
    /// Reads attributes, similar pairs and profiles. `partitions` are the codes of the ranked rows' partitions.
    pub(super) fn new(
        rank: &Rank,
        settings: &'a Diversity,
        tables: &[Table],
        partitions: &Keys,
    ) -> Result<Self, TransformError> {
        let places = rank.places();
        let main = &tables[0];
        let likeness = match (&settings.similarity, places.similarity) {
            (Some(input), Some(at)) => pairs(input, main, &tables[at], rank.drop_nan)?,
            _ => Likeness::Attributes(attributes(settings, main)?),
        };
        let mut variety = Self { settings, likeness, attribute: Vec::new(), profile: HashMap::new() };
        if matches!(settings.method, DiversityMethod::Xquad | DiversityMethod::Calibrated) {
            variety.read_profile(rank, tables, places.profile, partitions)?;
        }
        Ok(variety)
    }

    fn read_profile(
        &mut self,
        rank: &Rank,
        tables: &[Table],
        place: Option<usize>,
        partitions: &Keys,
    ) -> Result<(), TransformError> {
        let main = &tables[0];
        let names = || self.settings.attributes.iter().map(|name| &name.value);
        let mut parts = vec![(main.columns(names()), main.len())];
        let theirs = place.map(|at| &tables[at]);
        parts.extend(theirs.map(|table| (table.columns(names()), table.len())));
        let attributes = encode_parts(&parts)?;
        self.attribute = attributes.codes[..main.len()].to_vec();
        let (Some(table), Some(profile)) = (theirs, &self.settings.profile) else { return Ok(()) };
        let by = || rank.partition_by.iter().map(|name| &name.value);
        let rows = partitions.distinct.first().map_or(1, |column| column.len());
        let parts = [(partitions.distinct.iter().map(Arc::clone).collect(), rows), (table.columns(by()), table.len())];
        let joined = encode_parts(&parts)?;
        let partition_of: HashMap<u32, u32> = joined.codes[..rows].iter().copied().zip(0..).collect();
        let mut marks = Vec::new();
        let weights = table.numbers(&profile.weight.value, OnNan::of(rank.drop_nan, &mut marks))?;
        let codes = joined.codes[rows..].iter().zip(&attributes.codes[main.len()..]);
        for ((code, attribute), weight) in codes.zip(&weights) {
            if let Some(partition) = partition_of.get(code)
                && *weight > 0.0
            {
                self.profile.entry(*partition).or_default().push((*attribute, *weight));
            }
        }
        Ok(())
    }

    /// A chooser among the rows of one partition, which are in the order of their scores.
    pub(super) fn chooser(&self, partition: u32, rows: &'a [u32], scores: &[f64]) -> Chooser<'_> {
        let mut relevance = scores.to_vec();
        normalize(Normalize::MinMax, &mut relevance);
        let state = match self.settings.method {
            DiversityMethod::Mmr => State::Mmr { nearest: vec![f64::NEG_INFINITY; rows.len()], any: false },
            DiversityMethod::Dpp => State::dpp(&relevance, self.settings.lambda),
            DiversityMethod::Xquad => State::Xquad { wanted: self.wanted(partition, rows), open: HashMap::new() },
            DiversityMethod::Calibrated => {
                State::Calibrated { wanted: self.wanted(partition, rows), counts: HashMap::new(), size: 0, gain: 0.0 }
            }
        };
        Chooser { variety: self, rows, relevance, state }
    }

    /// The wanted share of each attribute, by attribute: of the profile, else of the pool.
    fn wanted(&self, partition: u32, rows: &[u32]) -> Vec<(u32, f64)> {
        let mut weights = match self.profile.get(&partition) {
            Some(profile) => profile.clone(),
            None => rows.iter().map(|row| (self.attribute[*row as usize], 1.0)).collect(),
        };
        weights.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        weights.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 += if same { next.1 } else { 0.0 };
            same
        });
        let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
        weights.into_iter().map(|(attribute, weight)| (attribute, weight / total)).collect()
    }

    /// How alike two rows are: 1 for the same item or equal attributes, 0 for nothing in common.
    fn likeness(&self, a: u32, b: u32) -> f64 {
        match &self.likeness {
            Likeness::Attributes(columns) => {
                let equal = columns.iter().filter(|codes| codes[a as usize] == codes[b as usize]).count();
                #[expect(clippy::cast_precision_loss, reason = "a few columns")]
                let share = equal as f64 / columns.len().max(1) as f64;
                share
            }
            Likeness::Pairs { items, groups, others, scores } => {
                let (a, b) = (items[a as usize], items[b as usize]);
                if a == b {
                    return 1.0;
                }
                let one_way = |from: u32, to: u32| {
                    let rows = groups.group(from as usize);
                    let found = rows.binary_search_by_key(&to, |row| others[*row as usize]);
                    found.map_or(0.0, |at| scores[rows[at] as usize])
                };
                one_way(a, b).max(one_way(b, a))
            }
        }
    }
}

fn attributes(settings: &Diversity, main: &Table) -> Result<Vec<Vec<u32>>, TransformError> {
    let code = |name: &super::ColumnName| {
        let keys = keys::encode(&[main.column(&name.value)], main.len())?;
        // A NULL is like nothing, not even another NULL: each gets a code of its own.
        let mut alone = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        let own = |code: u32| {
            if !keys.has_null[code as usize] {
                return code;
            }
            alone = alone.wrapping_add(1);
            alone
        };
        Ok(keys.codes.iter().copied().map(own).collect())
    };
    settings.attributes.iter().map(code).collect()
}

fn pairs(
    input: &super::SimilarityInput,
    main: &Table,
    table: &Table,
    drop_nan: bool,
) -> Result<Likeness, TransformError> {
    let column = |table: &Table, name: &super::ColumnName| (vec![table.column(&name.value)], table.len());
    let keys = encode_parts(&[column(main, &input.item), column(table, &input.left), column(table, &input.right)])?;
    let items = keys.codes[..main.len()].to_vec();
    let lefts = &keys.codes[main.len()..main.len() + table.len()];
    let others = keys.codes[main.len() + table.len()..].to_vec();
    let mut dropped = Vec::new();
    let scores = table.numbers(&input.score.value, OnNan::of(drop_nan, &mut dropped))?;
    let mut groups = Groups::new(lefts, keys.len(), |row| !scores[row].is_nan());
    let Groups { starts, rows } = &mut groups;
    for group in starts.windows(2) {
        // The last of equal pairs wins a search: the greatest score is made the only one that matters.
        rows[group[0]..group[1]].sort_unstable_by(|a, b| {
            let (a, b) = (*a as usize, *b as usize);
            others[a].cmp(&others[b]).then(scores[b].total_cmp(&scores[a]))
        });
    }
    let mut scores = scores;
    for group in starts.windows(2) {
        for pair in (group[0] + 1)..group[1] {
            let (before, row) = (rows[pair - 1] as usize, rows[pair] as usize);
            if others[before] == others[row] {
                scores[row] = scores[before];
            }
        }
    }
    Ok(Likeness::Pairs { items, groups, others, scores })
}

/// Chooses row after row of one partition.
pub(super) struct Chooser<'a> {
    variety: &'a Variety<'a>,
    rows: &'a [u32],
    relevance: Vec<f64>,
    state: State,
}

enum State {
    /// The greatest likeness to a chosen row.
    Mmr { nearest: Vec<f64>, any: bool },
    /// Each row's residual and its coordinates in the basis of the chosen ones.
    Dpp { quality: Vec<f64>, residual: Vec<f64>, basis: Vec<Vec<f64>> },
    /// By attribute, Π (1 − relevance) over the chosen rows that have it.
    Xquad { wanted: Vec<(u32, f64)>, open: HashMap<u32, f64> },
    /// How many chosen rows have each attribute, and their relevance.
    Calibrated { wanted: Vec<(u32, f64)>, counts: HashMap<u32, f64>, size: usize, gain: f64 },
}

impl State {
    fn dpp(relevance: &[f64], lambda: f64) -> Self {
        // log P(S) = λ Σ r + (1 − λ) log det: q = exp(λ r ÷ (2 (1 − λ))), all relevance where λ is 1.
        let alpha = (lambda / (2.0 * (1.0 - lambda).max(1e-9))).min(300.0);
        let quality: Vec<f64> = relevance.iter().map(|r| (alpha * r).exp()).collect();
        let residual = quality.iter().map(|q| q * q).collect();
        Self::Dpp { quality, residual, basis: vec![Vec::new(); relevance.len()] }
    }
}

impl Chooser<'_> {
    /// The relevance of a row in the pool, 0 to 1.
    pub(super) fn relevance(&self, at: usize) -> f64 {
        self.relevance[at]
    }

    /// How good it would be to choose a row next.
    pub(super) fn value(&self, at: usize) -> f64 {
        let lambda = self.variety.settings.lambda;
        let relevance = self.relevance[at];
        match &self.state {
            State::Mmr { any: false, .. } => relevance,
            State::Mmr { nearest, .. } => lambda * relevance - (1.0 - lambda) * nearest[at],
            State::Dpp { residual, .. } => residual[at],
            State::Xquad { wanted, open } => {
                let attribute = self.attribute(at);
                let share = wanted.binary_search_by_key(&attribute, |w| w.0).map_or(0.0, |found| wanted[found].1);
                let open = open.get(&attribute).copied().unwrap_or(1.0);
                lambda * relevance + (1.0 - lambda) * share * relevance * open
            }
            State::Calibrated { wanted, counts, size, gain } => {
                let divergence = divergence(wanted, counts, self.attribute(at), *size);
                lambda * (gain + relevance) - (1.0 - lambda) * divergence
            }
        }
    }

    /// Takes note that a row was chosen.
    pub(super) fn chosen(&mut self, at: usize) {
        let (row, attribute) = (self.rows[at], self.variety.attribute.get(self.rows[at] as usize).copied());
        let relevance = self.relevance[at];
        match &mut self.state {
            State::Mmr { nearest, any } => {
                *any = true;
                for (near, other) in nearest.iter_mut().zip(self.rows) {
                    *near = near.max(self.variety.likeness(row, *other));
                }
            }
            State::Dpp { quality, residual, basis } => {
                let length = residual[at].max(0.0).sqrt();
                if length < 1e-10 {
                    return;
                }
                let mine = basis[at].clone();
                for (other, coordinates) in basis.iter_mut().enumerate() {
                    let likeness = if other == at { 1.0 } else { self.variety.likeness(row, self.rows[other]) };
                    let kernel = quality[at] * likeness * quality[other];
                    let dot: f64 = mine.iter().zip(coordinates.iter()).map(|(a, b)| a * b).sum();
                    let coordinate = (kernel - dot) / length;
                    coordinates.push(coordinate);
                    residual[other] -= coordinate * coordinate;
                }
            }
            State::Xquad { open, .. } => {
                *open.entry(attribute.unwrap_or(0)).or_insert(1.0) *= 1.0 - relevance;
            }
            State::Calibrated { counts, size, gain, .. } => {
                *counts.entry(attribute.unwrap_or(0)).or_insert(0.0) += 1.0;
                *size += 1;
                *gain += relevance;
            }
        }
    }

    fn attribute(&self, at: usize) -> u32 {
        self.variety.attribute[self.rows[at] as usize]
    }
}

/// KL(p ‖ q̃) of the list with one more row, q̃ = (1 − α) q + α p.
fn divergence(wanted: &[(u32, f64)], counts: &HashMap<u32, f64>, next: u32, size: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "the length of a list")]
    let size = (size + 1) as f64;
    let term = |(attribute, p): &(u32, f64)| {
        let count = counts.get(attribute).copied().unwrap_or(0.0) + f64::from(u8::from(*attribute == next));
        let q = (1.0 - SMOOTHING) * count / size + SMOOTHING * p;
        p * (p / q).ln()
    };
    wanted.iter().map(term).sum()
}
