//! Frames → how long a sound is speech, music, silence or something else.
//!
//! Frames under −60 dB of full scale are silent; half a second of them on end is silence. Every other second is judged by
//! the three seconds around it, from six figures that tell speech from music (Scheirer & Slaney 1997, Saunders 1996):
//!
//! | figure | definition | speech | music | noise |
//! | --- | --- | --- | --- | --- |
//! | low | share of frames at less than half the mean level | high: pauses between words | low | low |
//! | modulation | share of the level's changes of 0.5 to 20 Hz that are of 2.5 to 7 Hz | high: syllables | low | low |
//! | crossings | standard deviation of the frames' zero crossings | high: vowels and consonants | low | low |
//! | flux | mean root of the frames' spectral flux | high | low: held notes | high |
//! | flatness | mean of the frames' | low | low | high |
//! | periodicity | mean of the frames' | high | high | low |
//!
//! The kind is the greatest of three linear scores, music's being 0. Their weights are those of a logistic regression on
//! clips of known kind, made by `tests/bench/audio.py`, which also says how well they do on others.

use super::frames::{Frame, PER_SECOND};

/// Shares of the whole, together 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Shares {
    pub(super) speech: f64,
    pub(super) music: f64,
    pub(super) silence: f64,
    pub(super) other: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Speech,
    Music,
    Other,
}

/// −60 dB of full scale.
const SILENT: f64 = 0.001;
/// So many silent frames on end are silence.
const SILENCE: usize = PER_SECOND / 2;
/// How far a second is looked around.
const AROUND: usize = PER_SECOND * 3 / 2;

/// The shares of a sound; all 0 where it is too short to have a frame.
#[expect(clippy::cast_precision_loss, reason = "frames of one sound")]
pub(super) fn shares(frames: &[Frame]) -> Shares {
    let silent = silence(frames);
    let mut counts = [0_usize; 4];
    for start in (0..frames.len()).step_by(PER_SECOND) {
        let end = (start + PER_SECOND).min(frames.len());
        let sounding = (start..end).filter(|at| !silent[*at]).count();
        counts[3] += end - start - sounding;
        let middle = (start + end) / 2;
        let around = middle.saturating_sub(AROUND)..(middle + AROUND).min(frames.len());
        let heard: Vec<Frame> = around.filter(|at| !silent[*at]).map(|at| frames[at]).collect();
        counts[kind(&heard) as usize] += sounding;
    }
    let share = |kind: usize| if frames.is_empty() { 0.0 } else { counts[kind] as f64 / frames.len() as f64 };
    Shares {
        speech: share(Kind::Speech as usize),
        music: share(Kind::Music as usize),
        other: share(Kind::Other as usize),
        silence: share(3),
    }
}

/// Which frames belong to a silence.
fn silence(frames: &[Frame]) -> Vec<bool> {
    let mut silent = vec![false; frames.len()];
    let mut start = 0;
    for run in frames.chunk_by(|a, b| (a.level < SILENT) == (b.level < SILENT)) {
        let end = start + run.len();
        if run[0].level < SILENT && run.len() >= SILENCE.min(frames.len()) {
            silent[start..end].fill(true);
        }
        start = end;
    }
    silent
}

fn kind(frames: &[Frame]) -> Kind {
    let sounding: Vec<&Frame> = frames.iter().filter(|frame| frame.level >= SILENT).collect();
    let levels: Vec<f64> = frames.iter().map(|frame| frame.level).collect();
    let level = mean(&levels);
    let low = mean(&levels.iter().map(|l| f64::from(u8::from(*l < 0.5 * level))).collect::<Vec<_>>());
    let modulation = modulation(&levels, level);
    let of = |figure: fn(&Frame) -> f64| sounding.iter().map(|frame| figure(frame)).collect::<Vec<f64>>();
    let crossings = deviation(&of(|frame| frame.crossings));
    let flux = mean(&of(|frame| frame.flux.sqrt()));
    let flatness = mean(&of(|frame| frame.flatness));
    let periodicity = mean(&of(|frame| frame.periodicity));
    let speech =
        4.0 * low + 6.6 * modulation - 0.6 * crossings + 14.6 * flux - 5.3 * flatness + 5.1 * periodicity - 13.1;
    let other =
        -4.5 * low - 0.1 * modulation - 17.4 * crossings + 16.4 * flux + 2.3 * flatness - 2.3 * periodicity - 5.3;
    if speech > 0.0 && speech >= other {
        Kind::Speech
    } else if other > 0.0 {
        Kind::Other
    } else {
        Kind::Music
    }
}

/// The share of the level's changes that are as fast as syllables, by a Fourier transform under a Hann window.
#[expect(clippy::cast_precision_loss, reason = "frames of three seconds")]
fn modulation(levels: &[f64], level: f64) -> f64 {
    let count = levels.len();
    let turn = |at: usize, times: f64| 2.0 * std::f64::consts::PI * times * at as f64 / count as f64;
    let window = |at: usize| 0.5 - 0.5 * (2.0 * std::f64::consts::PI * at as f64 / (count.max(2) - 1) as f64).cos();
    let windowed: Vec<f64> = levels.iter().enumerate().map(|(at, l)| (l - level) * window(at)).collect();
    let (mut syllables, mut all) = (0.0, 0.0);
    for bin in 1..count / 2 {
        let hertz = bin as f64 * PER_SECOND as f64 / count as f64;
        if hertz <= 0.5 || hertz >= 20.0 {
            continue;
        }
        let (mut real, mut imaginary) = (0.0, 0.0);
        for (at, value) in windowed.iter().enumerate() {
            let (sine, cosine) = turn(at, bin as f64).sin_cos();
            real += value * cosine;
            imaginary += value * sine;
        }
        let power = real * real + imaginary * imaginary;
        all += power;
        if (2.5..=7.0).contains(&hertz) {
            syllables += power;
        }
    }
    if all > 0.0 { syllables / all } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "frames of three seconds")]
fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

fn deviation(values: &[f64]) -> f64 {
    let mean_value = mean(values);
    mean(&values.iter().map(|value| (value - mean_value).powi(2)).collect::<Vec<_>>()).sqrt()
}
