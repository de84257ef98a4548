use std::f64::consts::PI;

use super::listen;

/// A WAV file of 16 bits.
fn wav(rate: u32, channels: u16, seconds: f64, sample: impl Fn(f64) -> f64) -> Vec<u8> {
    let spec =
        hound::WavSpec { channels, sample_rate: rate, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, spec).expect("a writer");
    for at in 0..(seconds * f64::from(rate)) as u32 {
        let value = (sample(f64::from(at) / f64::from(rate)) * 32767.0).round() as i16;
        (0..channels).for_each(|_| writer.write_sample(value).expect("written"));
    }
    writer.finalize().expect("finished");
    bytes.into_inner()
}

fn decibels(level: f64) -> f64 {
    10_f64.powf(level / 20.0)
}

fn tone(hertz: f64, level: f64) -> impl Fn(f64) -> f64 {
    move |at| decibels(level) * (2.0 * PI * hertz * at).sin()
}

/// White noise by a fixed rule: the bits of the sample's number, mixed.
fn noise(at: f64) -> f64 {
    let mut bits = ((at * 16000.0).round() as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    0.3 * (((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0)
}

#[test]
fn loudness_is_that_of_ebu_tech_3341() {
    // Its cases 1 and 2: 20 s of a stereo sine of 1000 Hz at −23 and −33 dBFS are −23.0 and −33.0 LUFS to 0.1.
    for level in [-23.0, -33.0] {
        let figures = listen(&wav(48_000, 2, 20.0, tone(1000.0, level))).expect("decoded");
        assert!((figures[5] - level).abs() < 0.1, "{figures:?}");
        assert!((figures[7] - level).abs() < 0.1, "{figures:?}");
    }
    // ITU-R BS.1770: a sine of 997 Hz at 0 dBFS in one channel is −3.01 LUFS.
    let figures = listen(&wav(48_000, 1, 20.0, tone(997.0, -20.0))).expect("decoded");
    assert!((figures[5] + 23.01).abs() < 0.05, "{figures:?}");
}

#[test]
fn the_relative_gate_leaves_quiet_parts_out() {
    // Case 3: 10 s at −36, 60 s at −23 and 10 s at −36 dBFS are −23.0 LUFS.
    let level = |at: f64| if (10.0..70.0).contains(&at) { -23.0 } else { -36.0 };
    let sound = wav(48_000, 2, 80.0, |at| tone(1000.0, level(at))(at));
    let figures = listen(&sound).expect("decoded");
    assert!((figures[5] + 23.0).abs() < 0.1, "{figures:?}");
}

#[test]
fn a_held_chord_is_music_noise_is_neither_and_nothing_is_silence() {
    let chord = |at: f64| [220.0, 277.2, 329.6].iter().map(|hertz| tone(*hertz, -20.0)(at)).sum::<f64>();
    let music = listen(&wav(16_000, 1, 6.0, chord)).expect("decoded");
    assert!(music[2] > 0.99, "{music:?}");
    let hiss = listen(&wav(16_000, 1, 6.0, noise)).expect("decoded");
    assert!(hiss[4] > 0.99, "{hiss:?}");
    let silence = listen(&wav(16_000, 1, 6.0, |_| 0.0)).expect("decoded");
    assert_eq!(&silence[1..5], [0.0, 0.0, 1.0, 0.0]);
    assert!(silence[5].is_nan());
}

#[test]
fn shares_are_of_the_whole_length() {
    let sound = wav(16_000, 1, 12.0, |at| if at < 6.0 { tone(440.0, -20.0)(at) } else { 0.0 });
    let figures = listen(&sound).expect("decoded");
    assert!((figures[0] - 12.0).abs() < 1e-9);
    assert!((figures[2] - 0.5).abs() < 0.02 && (figures[3] - 0.5).abs() < 0.02, "{figures:?}");
    assert!((figures[1..5].iter().sum::<f64>() - 1.0).abs() < 1e-9);
}

#[test]
fn what_is_no_sound_or_stops_short_is_refused() {
    let whole = wav(16_000, 1, 1.0, tone(440.0, -20.0));
    let cut = &whole[..whole.len() / 2];
    for (bytes, problem) in [
        (b"ID3 and so on".as_slice(), "neither WAV nor FLAC"),
        (b"RIFF".as_slice(), ""),
        (b"fLaC".as_slice(), ""),
        (cut, ""),
        (&wav(16_000, 1, 0.0, |_| 0.0), "no samples"),
    ] {
        let refused = listen(bytes).expect_err("refused");
        assert!(refused.contains(problem), "{refused}");
    }
}
