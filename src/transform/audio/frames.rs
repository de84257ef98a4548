//! Sound → figures of short frames: 40 ms under a Hann window, 50 a second.
//!
//! With x the samples of a frame and P its power spectrum from 60 Hz to 8 kHz (or half the rate):
//!
//! | figure | definition |
//! | --- | --- |
//! | level | √ mean x², of the 20 ms that the frame adds |
//! | crossings | share of neighbouring samples of different sign |
//! | flux | Σ (a − a')² over amplitudes a of unit sum of squares, a' those of the frame before: 0 for a held sound, 2 at most |
//! | flatness | geometric ÷ arithmetic mean of P: 0 for tones, near 1 for noise |
//! | periodicity | the greatest autocorrelation at a lag of 1/500 s to 1/60 s, by that at lag 0 |

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of samples and bins, far below 2^52"
)]

use super::spectrum::Fourier;

/// Frames per second.
pub(super) const PER_SECOND: usize = 50;

/// The figures of one frame.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frame {
    /// How loud.
    pub(super) level: f64,
    /// How often the sign changes.
    pub(super) crossings: f64,
    /// How much the spectrum has changed.
    pub(super) flux: f64,
    /// How like noise.
    pub(super) flatness: f64,
    /// How like a tone.
    pub(super) periodicity: f64,
}

/// Cuts samples of one channel into frames as they come.
pub(super) struct Frames {
    rate: u32,
    hop: usize,
    window: Vec<f64>,
    pending: Vec<f64>,
    fourier: Fourier,
    before: Vec<f64>,
    frames: Vec<Frame>,
}

impl Frames {
    /// Frames of sound at this sampling rate.
    pub(super) fn new(rate: u32) -> Self {
        let hop = (rate as usize / PER_SECOND).max(1);
        let size = 2 * hop;
        let turn = |at: usize| 2.0 * std::f64::consts::PI * at as f64 / size as f64;
        Self {
            rate,
            hop,
            window: (0..size).map(|at| 0.5 - 0.5 * turn(at).cos()).collect(),
            pending: Vec::new(),
            fourier: Fourier::new(2 * size),
            before: Vec::new(),
            frames: Vec::new(),
        }
    }

    /// Takes the samples that follow.
    pub(super) fn push(&mut self, samples: impl Iterator<Item = f64>) {
        self.pending.extend(samples);
        let mut start = 0;
        while start + self.window.len() <= self.pending.len() {
            let frame = self.frame(start);
            self.frames.push(frame);
            start += self.hop;
        }
        self.pending.drain(..start);
    }

    /// All frames; what does not fill one at the end is left out.
    pub(super) fn finish(self) -> Vec<Frame> {
        self.frames
    }

    fn frame(&mut self, start: usize) -> Frame {
        let x = &self.pending[start..start + self.window.len()];
        let new = &x[x.len() - self.hop..];
        let level = (new.iter().map(|v| v * v).sum::<f64>() / new.len() as f64).sqrt();
        let crossings = x.windows(2).filter(|pair| (pair[0] < 0.0) != (pair[1] < 0.0)).count() as f64 / x.len() as f64;
        let windowed = x.iter().zip(&self.window).map(|(x, w)| x * w);
        let power: Vec<f64> = self.fourier.of(windowed).iter().map(|(re, im)| re * re + im * im).collect();
        let band = self.band();
        let band = &power[band.start.min(power.len())..band.end.min(power.len())];
        let total: f64 = band.iter().sum();
        let flux = if total > 0.0 { self.flux(band, total) } else { 0.0 };
        let count = band.len().max(1) as f64;
        let mean_log = band.iter().map(|p| (p + 1e-20).ln()).sum::<f64>() / count;
        let flatness = if total > 0.0 { mean_log.exp() / (total / count + 1e-20) } else { 0.0 };
        Frame { level, crossings, flux, flatness, periodicity: self.periodicity(&power) }
    }

    /// The bins from 60 Hz to 8 kHz.
    fn band(&self) -> std::ops::Range<usize> {
        let bin = |hertz: f64| (hertz * self.fourier.len() as f64 / f64::from(self.rate)).round() as usize;
        bin(60.0)..bin(8000.0).min(self.fourier.len() / 2)
    }

    fn flux(&mut self, band: &[f64], total: f64) -> f64 {
        let now: Vec<f64> = band.iter().map(|p| (p / total).sqrt()).collect();
        let flux = now.iter().zip(&self.before).map(|(a, b)| (a - b) * (a - b)).sum();
        let first = self.before.is_empty();
        self.before = now;
        if first { 0.0 } else { flux }
    }

    /// The autocorrelation is the transform of the power spectrum; that of the window is divided out.
    fn periodicity(&self, power: &[f64]) -> f64 {
        let own: Vec<f64> = self.fourier.of(power.iter().copied()).iter().map(|(re, _)| *re).collect();
        let Some(zero) = own.first().copied().filter(|zero| *zero > 0.0) else { return 0.0 };
        let size = self.window.len();
        let lags = (self.rate as usize / 500).max(2)..(self.rate as usize / 60).min(size * 3 / 4);
        let best = lags.filter_map(|lag| Some(own.get(lag)? / zero / self.overlap(lag)));
        best.fold(0.0, f64::max).min(1.0)
    }

    /// The autocorrelation of the Hann window at a lag, by that at lag 0.
    fn overlap(&self, lag: usize) -> f64 {
        let u = lag as f64 / self.window.len() as f64;
        let turn = 2.0 * std::f64::consts::PI * u;
        ((1.0 - u) * (2.0 / 3.0 + turn.cos() / 3.0) + turn.sin() / (2.0 * std::f64::consts::PI)).max(0.05)
    }
}
