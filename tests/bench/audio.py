#!/usr/bin/env python3
"""How well the `audio` transform tells speech, music, silence and noise apart, on clips whose kind is known.

usage: python3 tests/bench/audio.py [--pipe target/release/pipe]     prints a confusion table of seconds
       python3 tests/bench/audio.py --fit FOLDER                     writes the clips that the weights were fitted on
       python3 tests/bench/audio.py --samples                        writes the clips of samples/audio/ anew

Needs numpy, espeak-ng, and flac for --samples. Speech is espeak-ng's in seven languages, plain, with an echo and under
noise; music is made of plucked, blown, bowed and struck tones, with and without drums; noise is white, pink, brown, wind
and applause. The weights were fitted on other voices, texts, instruments and seeds than those measured here.
"""
import argparse
import json
import subprocess
import tempfile
import wave
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
RATE = 16000
SPOKEN = {
    "fr1": "La capitaine enquête sur un meurtre commis près de Saint-Malo. Un témoin disparaît et le commissariat soupçonne un ancien policier. Personne ne parle.",
    "fr2": "Bonjour à tous, voici les titres de l'actualité. La météo sera agitée cette nuit, avec de la pluie et du vent sur tout le littoral. Restez avec nous.",
    "fr3": "Les loups reviennent dans les forêts de montagne après un siècle d'absence, et avec eux les vieilles peurs des bergers.",
    "en1": "A young detective returns home and finds that her father has been lying for years. Nobody in the village wants to talk about it.",
    "en2": "Good evening, here are the headlines. Heavy rain is expected tonight along the coast, and trains are running late.",
    "de": "Guten Abend, hier sind die Nachrichten des Tages. In den Bergen fällt heute Nacht der erste Schnee, und viele Straßen bleiben gesperrt.",
    "es": "Los lobos regresan a los bosques después de un siglo de ausencia, y con ellos los viejos miedos de los pastores.",
    "it": "Buonasera a tutti, ecco le notizie di oggi. Domani il tempo sarà bello su tutta la costa, con vento leggero.",
    "pt": "Boa noite, estas são as notícias do dia. Amanhã vai chover em todo o litoral, com vento forte durante a noite.",
    "nl": "Goedenavond, dit is het nieuws van vandaag. Morgen regent het aan de kust en waait het hard.",
}
FITTED = dict(seed=7, tones=["pluck", "organ", "strings", "piano"], voices=[
    ("fr", "fr1"), ("fr+f2", "fr2"), ("en", "en1"), ("en-us+f3", "en2"), ("de+m3", "de"), ("fr+m2", "fr3")])
MEASURED = dict(seed=99, tones=["brass", "flute", "piano", "strings", "pluck"], voices=[
    ("es", "es"), ("it+f4", "it"), ("pt+m4", "pt"), ("nl+f1", "nl"), ("fr+f5", "fr3"), ("en-gb+m7", "en1")])
NOISES = ["white", "pink", "applause", "brown", "wind"]


def write(path, x):
    data = (np.clip(x, -1, 1) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(RATE)
        w.writeframes(data.tobytes())


def full(x, peak):
    return x / np.max(np.abs(x)) * peak


def speech(text, voice, speed, pitch):
    with tempfile.NamedTemporaryFile(suffix=".wav") as f:
        subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "-w", f.name, text], check=True, stderr=subprocess.DEVNULL)
        with wave.open(f.name) as w:
            rate, x = w.getframerate(), np.frombuffer(w.readframes(w.getnframes()), "<i2") / 32768
    n = int(len(x) * RATE / rate)
    return full(np.interp(np.arange(n) * rate / RATE, np.arange(len(x)), x), 0.6)


def echo(x, rng):
    n = int(0.35 * RATE)
    response = rng.standard_normal(n) * np.exp(-np.arange(n) / (RATE * 0.07))
    response[0] = 6
    return full(np.convolve(x, response)[: len(x)], 0.6)


def tone(hertz, seconds, kind, rng):
    t = np.arange(int(seconds * RATE)) / RATE
    rise = lambda up, down: np.clip(np.minimum(t / up, (seconds - t) / down), 0, 1)
    if kind == "pluck":
        n = max(2, int(RATE / hertz))
        string, out = rng.uniform(-1, 1, n), np.empty(len(t))
        for i in range(len(t)):
            out[i] = string[i % n]
            string[i % n] = 0.498 * (string[i % n] + string[(i + 1) % n])
        return out
    if kind == "organ":
        return sum(np.sin(2 * np.pi * hertz * k * t) / k for k in (1, 2, 3, 4, 6)) * rise(0.03, 0.05)
    if kind == "strings":
        phase = 2 * np.pi * hertz * np.cumsum(1 + 0.004 * np.sin(2 * np.pi * 5.5 * t + rng.uniform(0, 6))) / RATE
        return sum(np.sin(k * phase) / k for k in range(1, 9)) * rise(0.15, 0.12)
    if kind == "piano":
        return sum(np.sin(2 * np.pi * hertz * k * t * (1 + 0.0003 * k * k)) * np.exp(-t * (1.2 + 0.7 * k)) / k for k in range(1, 8)) * np.minimum(1, t / 0.004)
    if kind == "brass":
        return sum(np.sin(2 * np.pi * hertz * k * t) * (1 - np.exp(-t * 20 / k)) / k**0.7 for k in range(1, 10)) * rise(0.04, 0.06)
    return (np.sin(2 * np.pi * hertz * t + 0.3 * np.sin(2 * np.pi * 5 * t)) + 0.2 * np.sin(4 * np.pi * hertz * t) + 0.03 * rng.standard_normal(len(t))) * rise(0.06, 0.08)


def drums(n, tempo, rng):
    out, beat = np.zeros(n), 60 / tempo
    for i in range(int(n / RATE / beat * 2)):
        start = int(i * beat / 2 * RATE)
        t = np.arange(int(0.18 * RATE)) / RATE
        hit = rng.standard_normal(len(t)) * np.exp(-t * 60) * 0.25
        if i % 4 == 0:
            hit = hit + np.sin(2 * np.pi * (50 + 60 * np.exp(-t * 25)) * t) * np.exp(-t * 14)
        if i % 4 == 2:
            hit = hit + rng.standard_normal(len(t)) * np.exp(-t * 25) * 0.6
        end = min(n, start + len(t))
        out[start:end] += hit[: end - start]
    return out


def music(kind, seconds, rng, drummed, tempo):
    n, beat = int(seconds * RATE), 60 / tempo
    out = np.zeros(n)

    def add(x, at):
        start = int(at * RATE)
        if start < n:
            out[start : start + len(x)] += x[: n - start]

    root = rng.choice([110, 123.5, 130.8, 146.8, 164.8])
    scale = [0, 2, 4, 5, 7, 9, 11, 12] if rng.random() < 0.5 else [0, 2, 3, 5, 7, 8, 10, 12]
    at, bar = 0.0, 0
    while at < seconds:
        for step in [[0, 4, 7], [5, 9, 12], [7, 11, 14], [0, 4, 7]][bar % 4]:
            add(tone(root * 2 ** (step / 12), min(beat * 4, seconds - at + 0.01), kind if rng.random() < 0.7 else "organ", rng) * 0.25, at)
        into = 0.0
        while into < 4:
            length = rng.choice([0.5, 1, 1, 2])
            add(tone(root * 2 * 2 ** (rng.choice(scale) / 12), beat * length * 1.05, kind, rng) * 0.5, at + into * beat)
            into += length
        at, bar = at + 4 * beat, bar + 1
    return full(out + (drums(n, tempo, rng) * 0.6 if drummed else 0), 0.6)


def noise(kind, seconds, rng):
    n = int(seconds * RATE)
    white = rng.standard_normal(n)
    hertz = np.maximum(np.fft.rfftfreq(n, 1 / RATE), 1)
    shaped = lambda by: np.fft.irfft(np.fft.rfft(white) / by, n)
    if kind == "applause":
        out = np.zeros(n)
        for start in rng.integers(0, n - 400, int(seconds * 120)):
            out[start : start + 300] += rng.standard_normal(300) * np.exp(-np.arange(300) / 60) * rng.uniform(0.3, 1)
        return full(out, 0.5)
    if kind == "wind":
        return full(shaped(1 + (hertz / 400) ** 2) * (1 + 0.5 * np.sin(2 * np.pi * 0.3 * np.arange(n) / RATE)), 0.5)
    return full({"white": white, "pink": shaped(np.sqrt(hertz)), "brown": shaped(np.maximum(hertz, 30))}[kind], 0.5)


def clips(folder, of):
    rng = np.random.default_rng(of["seed"])
    for i, (voice, text) in enumerate(of["voices"]):
        slow, fast = speech(SPOKEN[text], voice, 150, 45), speech(SPOKEN[text], voice, 185, 60)
        write(folder / f"speech_{i}_slow.wav", slow)
        write(folder / f"speech_{i}_fast.wav", fast)
        write(folder / f"speech_{i}_echo.wav", echo(slow, rng))
        write(folder / f"speech_{i}_noisy.wav", fast + noise("pink", len(fast) / RATE + 0.01, rng)[: len(fast)] * 0.13)
    for kind in of["tones"]:
        for tempo, drummed in [(70, False), (120, True), (150, False), (95, True)]:
            write(folder / f"music_{kind}_{tempo}.wav", music(kind, 9, rng, drummed, tempo))
    write(folder / "music_drums_110.wav", drums(9 * RATE, 110, rng) * 0.5)
    for kind in NOISES:
        write(folder / f"other_{kind}_quiet.wav", noise(kind, 8, rng) * 0.3)
        write(folder / f"other_{kind}_loud.wav", noise(kind, 8, rng))
    write(folder / "silence_zero.wav", np.zeros(5 * RATE))
    write(folder / "silence_hiss.wav", rng.standard_normal(5 * RATE) * 10 ** (-75 / 20))


def samples():
    """Six clips of programmes of the sample warehouse; 1019 is a concert, 1006 the news, 1050 a match, 1004 for children."""
    rng = np.random.default_rng(1)
    quiet = np.zeros(int(1.5 * RATE))
    parts = {
        1001: [speech(SPOKEN["fr1"], "fr+f2", 170, 50)[: 5 * RATE]],
        1004: [music("flute", 3, rng, False, 120), speech(SPOKEN["fr3"], "fr+f4", 160, 70)[: 3 * RATE]],
        1006: [speech(SPOKEN["fr2"], "fr+m2", 175, 40)[: 6 * RATE]],
        1013: [quiet, speech(SPOKEN["fr3"], "fr+m3", 150, 35)[: 4 * RATE], quiet],
        1019: [music("strings", 5, rng, True, 95) * 0.9],
        1050: [noise("applause", 3, rng), speech(SPOKEN["en2"], "fr+m4", 190, 55)[: 3 * RATE]],
    }
    folder = ROOT / "samples" / "audio"
    folder.mkdir(exist_ok=True)
    for program, pieces in parts.items():
        write(folder / f"{program}.wav", np.concatenate(pieces))
        if program != 1019:  # one stays a WAV
            subprocess.run(["flac", "--best", "--silent", "--force", "--delete-input-file", folder / f"{program}.wav"], check=True)


def measure(pipe):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for part in ("clips", "schemas", "pipelines"):
            (folder / part).mkdir()
        clips(folder / "clips", MEASURED)
        (folder / "pipe.yaml").write_text("targets:\n  local: {backend: datafusion, tables: {raw.clip: {path: clips/, format: files}}}\n")
        (folder / "schemas" / "raw.yaml").write_text("schema: raw\ntables:\n  clip: {columns: {name: varchar, content: binary}}\n")
        (folder / "pipelines" / "sounds.yaml").write_text("job: sounds\nsteps:\n  sounds: {publish: ml.sounds, audio: {input: raw.clip, item: name}}\n")
        subprocess.run([pipe, "run", "sounds", "--quiet"], cwd=folder, check=True)
        told = subprocess.run([pipe, "sql", "--format", "jsonl", "select * from ml.sounds"], cwd=folder, check=True, capture_output=True, text=True).stdout
    seconds, files = defaultdict(Counter), Counter()
    for row in map(json.loads, told.splitlines()):
        row = {name.lower(): value for name, value in row.items()}
        kind = row["name"].split("_")[0]
        files[kind] += 1
        for other in ("speech", "music", "silence", "other"):
            seconds[kind][other] += float(row[other]) * float(row["seconds"])
    kinds = ["speech", "music", "silence", "other"]
    print(f"{'is':8} {'clips':>5} " + " ".join(f"{kind:>8}" for kind in kinds) + "   (seconds told as)")
    for kind in kinds:
        print(f"{kind:8} {files[kind]:5} " + " ".join(f"{seconds[kind][other]:8.1f}" for other in kinds))
    right, total = sum(seconds[k][k] for k in kinds), sum(sum(c.values()) for c in seconds.values())
    print(f"right: {100 * right / total:.1f} % of {total:.0f} seconds")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipe", default=str(ROOT / "target" / "release" / "pipe"))
    parser.add_argument("--fit", type=Path)
    parser.add_argument("--samples", action="store_true")
    args = parser.parse_args()
    if args.samples:
        samples()
    elif args.fit:
        args.fit.mkdir(parents=True, exist_ok=True)
        clips(args.fit, FITTED)
    else:
        measure(str(Path(args.pipe).resolve()))


if __name__ == "__main__":
    main()
