//! Texts → weighted terms: tf · (ln((1 + n) ÷ (1 + df)) + 1), each text's weights of length 1, as scikit-learn's
//! `TfidfVectorizer`. A term is a run of two or more letters, digits or `_`, in lower case.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use rayon::prelude::*;
use regex::Regex;

use super::{Language, Texts};

const FRENCH: &str = "au aux avec ce ces cet cette dans de des du elle elles en est et eux il ils je la le les leur \
leurs lui ma mais me mes moi mon ne nos notre nous on ou où par pas plus pour qu que qui quoi sa sans se ses si soi son \
sont sous sur ta te tes toi ton tous tout toute toutes tu un une vos votre vous ça cela ceci celui celle ceux celles été \
étée étées étés étant suis es sommes êtes être était étais étions étiez étaient fut furent sera seront serait soit soient \
ai as avons avez ont avoir avait avais avaient eu eut aura auront aurait ait aient ayant fait faire font comme alors \
aussi ainsi après avant bien car chez contre depuis donc dont encore entre jusque lors lorsque même mêmes ni non \
parce peu peut peuvent puis quand quel quelle quelles quels sauf selon seulement tandis tant tel telle telles tels \
tandis très trop vers voici voilà deux trois autre autres chaque plusieurs quelques ici là afin toujours jamais";

const ENGLISH: &str = "a about above after again against all also am an and any are as at be because been before being \
below between both but by can cannot could did do does doing down during each few for from further get had has have \
having he her here hers herself him himself his how i if in into is it its itself just let me more most my myself no \
nor not of off on once only or other our ours ourselves out over own same she should so some such than that the their \
theirs them themselves then there these they this those through to too under until up very was we were what when where \
which while who whom why will with would you your yours yourself yourselves";

static TERM: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\b\w\w+\b").ok());

/// The terms of all texts and their weights in each.
pub(super) struct Terms {
    /// The terms, in order.
    pub(super) names: Vec<String>,
    /// By text, its terms by code.
    pub(super) texts: Vec<Vec<Term>>,
    /// By term, how many texts have it.
    pub(super) holders: Vec<usize>,
    /// How many texts there are.
    total: usize,
}

/// A term in a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    /// Its code.
    pub(super) code: u32,
    /// How often it is there.
    pub(super) count: f64,
    /// What it weighs.
    pub(super) weight: f64,
}

impl Terms {
    /// Weighs the terms of texts; a text without terms has none.
    #[expect(clippy::cast_precision_loss, reason = "counts of texts")]
    pub(super) fn new(settings: &Texts, texts: &[Option<&str>]) -> Self {
        let stop = settings.stop_words();
        let counts: Vec<BTreeMap<String, f64>> =
            texts.par_iter().map(|text| count(text.unwrap_or(""), &stop)).collect();
        let mut holders: BTreeMap<&str, usize> = BTreeMap::new();
        counts.iter().flat_map(BTreeMap::keys).for_each(|term| *holders.entry(term).or_default() += 1);
        let total = texts.iter().flatten().count();
        let most = settings.max_df * total as f64;
        holders.retain(|_, held| *held >= settings.min_df && *held as f64 <= most);
        let codes: BTreeMap<&str, u32> = holders.keys().copied().zip(0_u32..).collect();
        let names = holders.keys().map(|term| (*term).to_owned()).collect();
        let mut terms = Self { names, texts: Vec::new(), holders: holders.into_values().collect(), total };
        let weigh = |counts: &BTreeMap<String, f64>| {
            let known = counts.iter().filter_map(|(term, count)| Some((*codes.get(term.as_str())?, *count)));
            let weighed = known.map(|(code, count)| Term { code, count, weight: count * terms.idf(code) });
            let mut weighed: Vec<Term> = weighed.collect();
            let length = weighed.iter().map(|term| term.weight * term.weight).sum::<f64>().sqrt();
            weighed.iter_mut().for_each(|term| term.weight /= length);
            weighed
        };
        terms.texts = counts.iter().map(weigh).collect();
        terms
    }

    /// ln((1 + n) ÷ (1 + df)) + 1.
    #[expect(clippy::cast_precision_loss, reason = "counts of texts")]
    pub(super) fn idf(&self, code: u32) -> f64 {
        ((1.0 + self.total as f64) / (1.0 + self.holders[code as usize] as f64)).ln() + 1.0
    }

    /// The terms that two texts share, and what each adds to the product of their weights.
    pub(super) fn shared(&self, a: usize, b: usize) -> Vec<(u32, f64)> {
        let theirs = &self.texts[b];
        let of = |term: &Term| {
            let at = theirs.binary_search_by_key(&term.code, |other| other.code).ok()?;
            Some((term.code, term.weight * theirs[at].weight))
        };
        self.texts[a].iter().filter_map(of).collect()
    }
}

impl Texts {
    fn stop_words(&self) -> HashSet<&'static str> {
        let words = |language: &Language| match language {
            Language::French => FRENCH,
            Language::English => ENGLISH,
        };
        self.languages.iter().flat_map(|language| words(language).split_whitespace()).collect()
    }
}

fn count(text: &str, stop: &HashSet<&str>) -> BTreeMap<String, f64> {
    let text = text.to_lowercase();
    let mut counts = BTreeMap::new();
    for term in TERM.iter().flat_map(|term| term.find_iter(&text)).map(|found| found.as_str()) {
        if !stop.contains(term) {
            *counts.entry(term.to_owned()).or_insert(0.0) += 1.0;
        }
    }
    counts
}
