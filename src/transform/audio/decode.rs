//! Bytes of a sound file → blocks of samples: WAV and FLAC, by their content and not by their name. A file that is damaged
//! or stops short is an error: the figures of half a sound would be wrong silently.

use std::io::Cursor;

use claxon::FlacReader;
use hound::{SampleFormat, WavReader};

/// How many instants a block has at most.
const INSTANTS: usize = 8192;

/// A block of decoded sound.
pub(super) struct Block {
    /// Samples per second and channel.
    pub(super) rate: u32,
    /// How many channels.
    pub(super) channels: usize,
    /// Samples of −1 to 1, those of one instant side by side.
    pub(super) samples: Vec<f32>,
}

impl Block {
    /// The mean of the channels.
    #[expect(clippy::cast_precision_loss, reason = "a few channels")]
    pub(super) fn mono(&self) -> impl Iterator<Item = f64> + '_ {
        let channels = self.channels;
        let instants = self.samples.chunks_exact(channels);
        instants.map(move |one| one.iter().map(|sample| f64::from(*sample)).sum::<f64>() / channels as f64)
    }
}

/// Decodes a file and hands on its blocks in turn.
pub(super) fn decode(bytes: &[u8], take: impl FnMut(&Block) -> Result<(), String>) -> Result<(), String> {
    if bytes.starts_with(b"RIFF") {
        wav(bytes, take)
    } else if bytes.starts_with(b"fLaC") {
        flac(bytes, take)
    } else {
        Err("it is neither WAV nor FLAC".to_owned())
    }
}

fn wav(bytes: &[u8], take: impl FnMut(&Block) -> Result<(), String>) -> Result<(), String> {
    let reader = WavReader::new(Cursor::new(bytes)).map_err(|error| error.to_string())?;
    let (spec, promised) = (reader.spec(), u64::from(reader.duration()));
    let (rate, channels) = (spec.sample_rate, usize::from(spec.channels));
    let told = |error: hound::Error| error.to_string();
    match spec.sample_format {
        SampleFormat::Float => {
            let samples = reader.into_samples::<f32>().map(|sample| sample.map_err(told));
            blocks(rate, channels, Some(promised), samples, take)
        }
        SampleFormat::Int => {
            let full = full_scale(spec.bits_per_sample.into());
            let samples = reader.into_samples::<i32>().map(|sample| sample.map(|s| scaled(s, full)).map_err(told));
            blocks(rate, channels, Some(promised), samples, take)
        }
    }
}

fn flac(bytes: &[u8], take: impl FnMut(&Block) -> Result<(), String>) -> Result<(), String> {
    let mut reader = FlacReader::new(Cursor::new(bytes)).map_err(|error| error.to_string())?;
    let info = reader.streaminfo();
    let full = full_scale(info.bits_per_sample);
    let samples = reader.samples().map(|sample| sample.map(|s| scaled(s, full)).map_err(|error| error.to_string()));
    blocks(info.sample_rate, info.channels as usize, info.samples, samples, take)
}

/// The whole number that stands for 1.
fn full_scale(bits: u32) -> f64 {
    2_f64.powi(i32::try_from(bits).unwrap_or(16) - 1)
}

#[expect(clippy::cast_possible_truncation, reason = "24 bits and more are rounded to the precision of f32")]
fn scaled(sample: i32, full: f64) -> f32 {
    (f64::from(sample) / full) as f32
}

fn blocks(
    rate: u32,
    channels: usize,
    promised: Option<u64>,
    mut samples: impl Iterator<Item = Result<f32, String>>,
    mut take: impl FnMut(&Block) -> Result<(), String>,
) -> Result<(), String> {
    if rate == 0 || channels == 0 {
        return Err("it has no channel or no sampling rate".to_owned());
    }
    let mut come = 0;
    loop {
        let samples: Vec<f32> = samples.by_ref().take(INSTANTS * channels).collect::<Result<_, _>>()?;
        if samples.is_empty() {
            break;
        }
        come += (samples.len() / channels) as u64;
        take(&Block { rate, channels, samples })?;
    }
    match promised {
        Some(promised) if come < promised => Err(format!("it stops after {come} of {promised} samples")),
        _ => Ok(()),
    }
}
