//! Interactions → the nearest items of each item: for each item one row of accumulators over the items of its users,
//! never the whole product. Inside, items are numbered by popularity, so that the busy accumulators lie together. Where
//! a pair's sums are the same from both sides, each pair is added up once, from its less popular item, and offered to
//! both.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::matrix::Matrix;
use super::metric::{Best, Figures, Neighbour, Population};
use super::place::Place;
use super::{Metric, Prune, Similarity, Weighting};

/// How many items a worker takes at a time.
const ITEMS: usize = 16;

/// How many neighbours all workers may hold before each pair is added up from both sides instead, so that a worker
/// holds the lists of its own items only.
const HELD: usize = 1 << 23;

/// The nearest items of each item, by item code, and how many users each item has.
pub(in crate::transform) struct Nearest {
    /// By item, best first.
    pub(in crate::transform) lists: Vec<Vec<Neighbour>>,
    /// By item.
    pub(in crate::transform) users: Vec<u32>,
}

/// Computes them.
pub(super) fn nearest(similarity: &Similarity, matrix: Matrix) -> Nearest {
    let mut matrix = matrix.without_busy(similarity.max_items_per_user);
    weigh(similarity.weighting, &mut matrix);
    if matrix.width <= usize::from(u16::MAX) {
        Search::<u16>::new(similarity, matrix).run()
    } else {
        Search::<u32>::new(similarity, matrix).run()
    }
}

/// tf-idf and BM25 as implicit weighs items × users: each item a document, each user a term.
#[expect(clippy::cast_precision_loss, reason = "counts of items and users")]
fn weigh(weighting: Weighting, matrix: &mut Matrix) {
    if weighting == Weighting::None {
        return;
    }
    let items = matrix.held_items();
    let mut lengths = vec![0.0; matrix.width];
    for user in 0..matrix.height() {
        matrix.row(user).for_each(|(item, value)| lengths[item as usize] += value);
    }
    let mean = lengths.iter().sum::<f64>() / items;
    let mut values = Vec::with_capacity(matrix.items.len());
    for user in 0..matrix.height() {
        let degree = (matrix.starts[user + 1] - matrix.starts[user]) as f64;
        let idf = items.ln() - degree.ln_1p();
        values.extend(matrix.row(user).map(|(item, x)| weighed(weighting, x, idf, lengths[item as usize], mean)));
    }
    matrix.values = Some(values);
}

/// What a value weighs, with the idf of its user, the sum of its item's values and the mean of those sums.
pub(super) fn weighed(weighting: Weighting, x: f64, idf: f64, length: f64, mean: f64) -> f64 {
    match weighting {
        Weighting::None => x,
        Weighting::Tfidf => x.sqrt() * idf,
        Weighting::Bm25(k1, b) => x * (k1 + 1.0) / (k1 * (1.0 - b + b * length / mean) + x) * idf,
    }
}

/// Everything that lists are made from; "place" is an item's number by popularity.
struct Search<'a, P> {
    similarity: &'a Similarity,
    /// The places of each user's items, ascending.
    items: Vec<P>,
    /// The factor of each of these; none where all are 1.
    values: Option<Vec<f64>>,
    /// By item code: where its users start in `spans`, and the end.
    starts: Vec<usize>,
    /// By item and user: the part of the user's `items` to go through.
    spans: Vec<(u32, u32)>,
    /// By item and user: the item's own factor.
    own: Option<Vec<f64>>,
    /// The item code of each place.
    codes: Vec<u32>,
    /// By place.
    figures: Vec<Figures>,
    /// ‖x‖ by place.
    lengths: Vec<f64>,
    population: Population,
    /// Whether pairs are added up once, for both of their items.
    once: bool,
    /// Whether users in common have to be counted beside the sums.
    counted: bool,
}

impl<'a, P: Place> Search<'a, P> {
    fn new(similarity: &'a Similarity, matrix: Matrix) -> Self {
        let columns = matrix.transposed();
        let users = |item: u32| columns.starts[item as usize + 1] - columns.starts[item as usize];
        let mut codes: Vec<u32> = (0..u32::try_from(matrix.width).unwrap_or(u32::MAX)).collect();
        codes.sort_by_key(|item| std::cmp::Reverse(users(*item)));
        let figures: Vec<Figures> = codes.par_iter().map(|item| Figures::of(columns.row(*item as usize))).collect();
        #[expect(clippy::cast_precision_loss, reason = "a count of users")]
        let population = Population { users: matrix.height() as f64, items: matrix.held_items() };
        let lengths = figures.iter().map(|figures| figures.squares.sqrt()).collect();
        let once = !similarity.metric.is_walk() && codes.len() * similarity.top.min(codes.len()) <= HELD;
        let factors = Factors::new(similarity, &matrix, &columns);
        let Parts { items, values, spans, own } = Parts::new(matrix, &columns, &codes, once, &factors);
        let starts = columns.starts;
        let positive = |values: &Option<Vec<f64>>| values.iter().flatten().all(|x| (1e-50..=1e50).contains(x));
        let counted = similarity.counts() || !positive(&values) || !positive(&own);
        Self { similarity, items, values, starts, spans, own, codes, figures, lengths, population, once, counted }
    }

    /// Whether scores are cosines as they are, which are worth telling from the bounds before anything else.
    fn is_plain(&self) -> bool {
        self.similarity.metric == Metric::Cosine && self.similarity.support_shrinkage == 0.0
    }

    /// What is added to the product of two lengths.
    fn added(&self) -> (f64, f64) {
        if self.similarity.shrinkage > 0.0 { (self.similarity.shrinkage, 1e-6) } else { (0.0, 0.0) }
    }

    fn run(&self) -> Nearest {
        let next = AtomicUsize::new(0);
        let workers = rayon::current_num_threads();
        let work = |_| {
            let mut worker = Worker::new(self);
            loop {
                let from = next.fetch_add(ITEMS, Ordering::Relaxed);
                if from >= self.codes.len() {
                    return worker.best;
                }
                (from..self.codes.len().min(from + ITEMS)).for_each(|place| worker.visit(place));
            }
        };
        let found: Vec<Vec<Best>> = (0..workers).into_par_iter().with_max_len(1).map(work).collect();
        let mut lists = vec![Vec::new(); self.codes.len()];
        for (place, best) in found.into_iter().flat_map(|best| (0..).zip(best)) {
            let list: &mut Vec<Neighbour> = &mut lists[self.codes[place] as usize];
            list.extend(best.sorted());
        }
        lists.par_iter_mut().for_each(|list| {
            list.sort_unstable();
            list.truncate(self.similarity.top);
            list.shrink_to_fit();
        });
        let mut users = vec![0; self.codes.len()];
        for code in &self.codes {
            let code = *code as usize;
            users[code] = u32::try_from(self.starts[code + 1] - self.starts[code]).unwrap_or(u32::MAX);
        }
        Nearest { lists, users }
    }
}

/// What an interaction is worth to its item and to its user: its value on both sides. Random walks take powers of
/// shares instead: of the source item's sum on the way up to the user, of the user's on the way down to the target.
pub(super) struct Factors {
    alpha: f64,
    from_source: bool,
    /// Sums by user and by item, of walks.
    totals: Option<(Vec<f64>, Vec<f64>)>,
}

impl Factors {
    fn new(similarity: &Similarity, rows: &Matrix, columns: &Matrix) -> Self {
        let sums = |matrix: &Matrix| {
            (0..matrix.height()).map(|row| matrix.row(row).map(|(_, x)| x).sum()).collect::<Vec<f64>>()
        };
        match similarity.metric {
            Metric::P3Alpha(alpha) | Metric::Rp3Beta(alpha, _) => {
                Self { totals: Some((sums(rows), sums(columns))), ..Self::alone(similarity, alpha) }
            }
            _ => Self::alone(similarity, 1.0),
        }
    }

    /// Those of a walk whose sums are known elsewhere.
    pub(super) fn alone(similarity: &Similarity, alpha: f64) -> Self {
        Self { alpha, from_source: similarity.prune == Prune::Source, totals: None }
    }

    /// The item's factor and the user's.
    fn of(&self, user: usize, item: usize, x: f64) -> (f64, f64) {
        let Some((users, items)) = &self.totals else { return (x, x) };
        self.shares(x, items[item], users[user])
    }

    /// The item's factor and the user's of a walk, from the sums of both.
    pub(super) fn shares(&self, x: f64, item: f64, user: f64) -> (f64, f64) {
        let (up, down) = ((x / item).powf(self.alpha), (x / user).powf(self.alpha));
        if self.from_source { (up, down) } else { (down, up) }
    }
}

/// The large tables of a [`Search`].
struct Parts<P> {
    items: Vec<P>,
    values: Option<Vec<f64>>,
    spans: Vec<(u32, u32)>,
    own: Option<Vec<f64>>,
}

impl<P: Place> Parts<P> {
    /// Deals places out to users, the most popular first, and notes for each what comes before it, or all of the user's.
    fn new(rows: Matrix, columns: &Matrix, codes: &[u32], once: bool, factors: &Factors) -> Self {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let starts: Vec<u32> = rows.starts.iter().map(|start| narrow(*start)).collect();
        let weighted = rows.values.is_some() || factors.totals.is_some();
        let count = rows.items.len();
        drop(rows);
        let mut next = starts.clone();
        let mut parts = Self { items: vec![P::default(); count], values: None, spans: vec![(0, 0); count], own: None };
        let mut values = vec![0.0; if weighted { count } else { 0 }];
        let mut own = values.clone();
        for (place, code) in (0_u32..).zip(codes) {
            let code = *code as usize;
            for at in columns.starts[code]..columns.starts[code + 1] {
                let user = columns.items[at] as usize;
                let put = next[user];
                next[user] += 1;
                parts.items[put as usize] = P::of(place);
                parts.spans[at] = (starts[user], if once { put } else { starts[user + 1] });
                if weighted {
                    let x = columns.values.as_ref().map_or(1.0, |values| values[at]);
                    (own[at], values[put as usize]) = factors.of(user, code, x);
                }
            }
        }
        if weighted {
            (parts.values, parts.own) = (Some(values), Some(own));
        }
        parts
    }
}

/// One thread's accumulators and the lists so far, by place. Accumulators are 0 between items.
struct Worker<'a, P> {
    search: &'a Search<'a, P>,
    counts: Vec<u32>,
    sums: Vec<f64>,
    best: Vec<Best>,
    /// The score that a list's next entry must reach.
    bounds: Vec<f64>,
}

impl<'a, P: Place> Worker<'a, P> {
    fn new(search: &'a Search<'a, P>) -> Self {
        let width = search.codes.len();
        let room = width.max(P::ROOM);
        let weighted = search.values.is_some();
        Self {
            search,
            counts: vec![0; if weighted && !search.counted { 0 } else { room }],
            sums: vec![0.0; if weighted { room } else { 0 }],
            best: (0..width).map(|_| Best::new(search.similarity.top)).collect(),
            bounds: vec![search.similarity.threshold.unwrap_or(f64::NEG_INFINITY); width],
        }
    }

    /// Adds an item up with all others, or with the more popular ones, and offers the pairs.
    fn visit(&mut self, place: usize) {
        let search = self.search;
        let code = search.codes[place] as usize;
        let range = search.starts[code]..search.starts[code + 1];
        let spans = &search.spans[range.clone()];
        if let (Some(values), Some(own)) = (&search.values, &search.own) {
            P::add(&search.items, values, spans, &own[range], &mut self.sums);
        }
        if !self.counts.is_empty() {
            P::count(&search.items, spans, &mut self.counts);
        }
        let reach = if search.once { place } else { search.codes.len() };
        let work: usize = spans.iter().map(|(from, to)| (to - from) as usize).sum();
        if work < reach / 2 {
            self.each_touched(place, spans);
        } else if search.is_plain() {
            self.each_near(place, reach);
        } else {
            (0..reach).for_each(|other| self.take(place, other));
        }
        let figures = &search.figures[place];
        let supported = figures.users >= search.similarity.min_support as f64;
        if search.once && search.similarity.include_self && supported && !spans.is_empty() {
            let score = search.similarity.score(figures.squares, figures.users, figures, figures, &search.population);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of users")]
            self.offer(place, place, score, figures.users as u32);
        }
    }

    /// Takes what was added up of a few others.
    fn each_touched(&mut self, place: usize, spans: &[(u32, u32)]) {
        for (from, to) in spans {
            for other in &self.search.items[*from as usize..*to as usize] {
                self.take(place, other.at());
            }
        }
    }

    /// Takes what was added up of others whose cosine is great enough for one of the two lists.
    fn each_near(&mut self, place: usize, reach: usize) {
        /// How many others are looked at together.
        const TOGETHER: usize = 16;
        for from in (0..reach).step_by(TOGETHER) {
            let others = from..reach.min(from + TOGETHER);
            let is_near = match self.search.values {
                #[expect(clippy::cast_possible_wrap, reason = "as many users as would need 16 GiB for one item")]
                None => self.is_near(place, &others, &self.counts, |count| f64::from(count as i32)),
                Some(_) => self.is_near(place, &others, &self.sums, |sum| sum),
            };
            if is_near {
                others.for_each(|other| self.take(place, other));
            }
        }
        if self.search.values.is_some() {
            self.sums[..reach].fill(0.0);
        }
        if !self.counts.is_empty() {
            self.counts[..reach].fill(0);
        }
    }

    /// Whether any of some others is near enough.
    #[inline(always)]
    fn is_near<T: Copy>(
        &self,
        place: usize,
        others: &std::ops::Range<usize>,
        row: &[T],
        product: impl Fn(T) -> f64,
    ) -> bool {
        let Search { lengths, once, .. } = self.search;
        let (length, mine) = (lengths[place], self.bounds[place]);
        let add = self.search.added();
        let row = &row[others.clone()];
        let sides = lengths[others.clone()].iter().zip(&self.bounds[others.clone()]);
        let near = |any: bool, (product_of, (other, bound)): (&T, (&f64, &f64))| {
            let score = product(*product_of) / (length * other + add.0 + add.1);
            any | (score >= mine) | (*once & (score >= *bound))
        };
        row.iter().zip(sides).fold(false, near)
    }

    /// Takes what was added up of a pair, if anything, and offers it.
    #[inline]
    fn take(&mut self, place: usize, other: usize) {
        let common = self.counts.get_mut(other).map_or(1, std::mem::take);
        let sum = self.sums.get_mut(other).map_or_else(|| f64::from(common), std::mem::take);
        if common == 0 || (sum == 0.0 && !self.search.counted) {
            return;
        }
        let Search { similarity, figures, population, once, .. } = self.search;
        if (common as usize) < similarity.min_support || (place == other && !similarity.include_self) {
            return;
        }
        let (mine, theirs) = (&figures[place], &figures[other]);
        if self.search.is_plain() {
            let (lengths, add) = (&self.search.lengths, self.search.added());
            let score = sum / (lengths[place] * lengths[other] + add.0 + add.1);
            if !(score >= self.bounds[place] || (*once && score >= self.bounds[other])) {
                return;
            }
        }
        let score = similarity.score(sum, f64::from(common), mine, theirs, population);
        self.offer(place, other, score, common);
        if *once {
            let back = match similarity.metric.is_symmetric() {
                true => score,
                false => similarity.score(sum, f64::from(common), theirs, mine, population),
            };
            self.offer(other, place, back, common);
        }
    }

    fn offer(&mut self, list: usize, item: usize, score: f64, common: u32) {
        if score >= self.bounds[list] {
            let best = &mut self.best[list];
            best.offer(Neighbour { item: self.search.codes[item], score, common });
            if let Some(bound) = best.bound() {
                self.bounds[list] = bound;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::transform::Transform;
    use crate::transform::testing::{Random, parse};

    use super::*;

    /// A user's items are few or many, so that both ways to find the touched items are gone.
    fn matrix(random: &mut Random, width: usize) -> Matrix {
        let mut cells: (Vec<u32>, Vec<u32>, Vec<f64>) = Default::default();
        for user in 0..60 {
            for _ in 0..1 + random.below(if user % 3 == 0 { 40 } else { 3 }) {
                cells.0.push(user);
                cells.1.push(u32::try_from(random.below(width)).expect("few items"));
                cells.2.push(random.share());
            }
        }
        Matrix::new((&cells.0[..], &cells.1[..], Some(&cells.2[..])), 60, width)
    }

    #[test]
    fn wide_and_narrow_numbers_and_both_directions_give_the_same() {
        let mut random = Random(5);
        for yaml in
            ["metric: cosine", "metric: jaccard, include_self: true", "metric: tversky, alpha: 0.2", "min_support: 3"]
        {
            let yaml = format!("{{input: t, user: u, item: i, value: x, top: 5, {yaml}}}");
            let Ok(Transform::Similarity(similarity)) = parse("similarity", &yaml) else { panic!("{yaml}") };
            let seed = random.next();
            let again = || matrix(&mut Random(seed), 90);
            let narrow = Search::<u16>::new(&similarity, again()).run();
            let wide = Search::<u32>::new(&similarity, again()).run();
            let mut both_ways = Search::<u16>::new(&similarity, again());
            both_ways.once = false;
            let starts: Vec<u32> = again().starts.iter().map(|at| u32::try_from(*at).expect("few cells")).collect();
            for span in &mut both_ways.spans {
                let user = starts.iter().rposition(|start| *start == span.0).expect("the start of a row");
                *span = (starts[user], starts[user + 1]);
            }
            for other in [wide, both_ways.run()] {
                assert_eq!(narrow.users, other.users);
                for (a, b) in narrow.lists.iter().zip(&other.lists) {
                    let told =
                        |list: &[Neighbour]| list.iter().map(|n| (n.item, n.score.to_bits())).collect::<Vec<_>>();
                    assert_eq!(told(a), told(b), "{yaml}");
                }
            }
        }
    }
}
