//! The discrete Fourier transform of a power of two of values, by Cooley and Tukey's method.

/// A transform of one length.
pub(super) struct Fourier {
    /// cos and −sin of 2π k ÷ length, for the first half of k.
    turns: Vec<(f64, f64)>,
}

impl Fourier {
    /// Of the least power of two that is at least this.
    #[expect(clippy::cast_precision_loss, reason = "a few thousand values")]
    pub(super) fn new(least: usize) -> Self {
        let length = least.next_power_of_two().max(2);
        let turn = |at: usize| -2.0 * std::f64::consts::PI * at as f64 / length as f64;
        Self { turns: (0..length / 2).map(|at| (turn(at).cos(), turn(at).sin())).collect() }
    }

    /// How many values it transforms.
    pub(super) fn len(&self) -> usize {
        2 * self.turns.len()
    }

    /// The transform of real values, filled up with zeros: real and imaginary parts.
    pub(super) fn of(&self, values: impl IntoIterator<Item = f64>) -> Vec<(f64, f64)> {
        let mut parts: Vec<(f64, f64)> = values.into_iter().map(|value| (value, 0.0)).collect();
        parts.resize(self.len(), (0.0, 0.0));
        let bits = self.len().trailing_zeros();
        for at in 0..parts.len() {
            let mirrored = at.reverse_bits() >> (usize::BITS - bits);
            if at < mirrored {
                parts.swap(at, mirrored);
            }
        }
        let mut half = 1;
        while half < parts.len() {
            let stride = self.turns.len() / half;
            for block in parts.chunks_exact_mut(2 * half) {
                let (low, high) = block.split_at_mut(half);
                for ((a, b), (cosine, sine)) in low.iter_mut().zip(high).zip(self.turns.iter().step_by(stride)) {
                    let turned = (b.0 * cosine - b.1 * sine, b.0 * sine + b.1 * cosine);
                    *b = (a.0 - turned.0, a.1 - turned.1);
                    *a = (a.0 + turned.0, a.1 + turned.1);
                }
            }
            half *= 2;
        }
        parts
    }
}
