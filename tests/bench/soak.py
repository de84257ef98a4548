#!/usr/bin/env python3
"""Runs of all jobs on the samples with random edits between them: what is skipped must be what a full run would have given
again, and nothing may grow: memory, open files, files beyond those that are kept.

After each edit `pipe run --all` runs in one folder, which has its past, and in another that has none. Every table of a job
that succeeded in both must hold the same rows, but for tables that keep a history of their own (`materialize: incremental`).
Edits are made to a number in a job's SQL, a comment in it, a row of a sample, or an earlier edit is taken back. The exit code
is 1 where tables differ or something has grown.

usage: python3 tests/bench/soak.py [--pipe target/release/pipe] [--runs 500] [--seed 1]
"""
import argparse
import hashlib
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import measure

ROOT = Path(__file__).resolve().parents[2]
PARTS = ["pipe.yaml", "pipelines", "sql", "schemas", "samples"]


def copy(folder):
    folder.mkdir(parents=True)
    for part in PARTS:
        source = ROOT / part
        shutil.copytree(source, folder / part) if source.is_dir() else shutil.copy(source, folder / part)


def edit(folder, dice, undo):
    """One edit; what to write to take it back is put on `undo`."""
    if undo and dice.random() < 0.3:
        path, text = undo.pop(dice.randrange(len(undo)))
        (folder / path).write_text(text)
        return f"back: {path}"
    if dice.random() < 0.5:
        path = dice.choice(sorted((folder / "sql").rglob("*.sql")))
        text = path.read_text()
        numbers = [found for found in re.finditer(r"(?<![\w.'])\d+(?![\w.'])", text)]
        if dice.random() < 0.4 or not numbers:
            new = text + f"\n-- {dice.random()}\n"
        else:
            found = dice.choice(numbers)
            new = text[: found.start()] + str(int(found.group()) + dice.choice([-1, 1, 5])) + text[found.end():]
    else:
        path = dice.choice(sorted((folder / "samples").rglob("*.csv")))
        text = path.read_text()
        lines = text.splitlines(keepends=True)
        at = dice.randrange(1, len(lines))
        change = dice.choice(["drop", "twice", "digit"])
        if change == "drop":
            del lines[at]
        elif change == "twice":
            lines.insert(at, lines[at])
        else:
            lines[at] = re.sub(r"[1-8](?=[,\n])", lambda m: str(int(m.group()) + 1), lines[at], count=1)
        new = "".join(lines)
    undo.append((path.relative_to(folder), text))
    path.write_text(new)
    return str(path.relative_to(folder))


def run(pipe, folder):
    """The run's cost, and the jobs whose steps all ended well."""
    result = measure([pipe, "run", "--all", "--forward-only", "--format", "json"], cwd=folder)
    events = [json.loads(line) for line in result["out"].splitlines() if line.startswith("{")]
    finished = [event for event in events if event.get("event") == "step_finished"]
    well = [event for event in finished if event["status"] == "success" or event.get("reason") == "unchanged"]
    wrong = {event["step"].split(".")[0] for event in finished if event not in well}
    return result, wrong


def digests(pipe, folder):
    """Of every published table, a digest of its rows in any order; none where no run has got as far as a warehouse."""
    found, warehouse = {}, folder / ".pipe/warehouse"
    for schema in sorted(warehouse.resolve().iterdir()) if warehouse.exists() else []:
        for table in sorted(schema.iterdir()) if schema.is_dir() else []:
            name = f"{schema.name}.{table.name}"
            rows = subprocess.run([pipe, "sql", "--format", "csv", f"select * from {name}"], cwd=folder, capture_output=True)
            if rows.returncode == 0:
                found[name] = hashlib.sha256(b"\n".join(sorted(rows.stdout.splitlines()))).hexdigest()
    return found


def published(folder):
    """Of each table, its job and whether it has a history of its own."""
    of = {}
    for path in (folder / "pipelines").glob("*.yaml"):
        text = path.read_text()
        job = re.search(r"^job:\s*(\w+)", text, re.M).group(1)
        for found in re.finditer(r"^ {4}publish:\s*([\w.]+)(.*?)(?=^ {2}\w|\Z)", text, re.M | re.S):
            of[found.group(1)] = (job, "materialize: incremental" in found.group(2) or "materialize: snapshot" in found.group(2))
    return of


def size(folder):
    return sum(1 for _ in (folder / ".pipe").rglob("*"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pipe", default="target/release/pipe")
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    pipe, dice = Path(a.pipe).resolve(), random.Random(a.seed)
    scratch = Path(tempfile.mkdtemp(prefix="pipe-soak-"))
    old, undo, failed, peaks, files, compared = scratch / "old", [], False, [], [], 0
    try:
        copy(old)
        for number in range(a.runs):
            what = edit(old, dice, undo) if number else "first"
            result, wrong = run(pipe, old)
            peaks.append(result["peak"])
            files.append(size(old))
            fresh = scratch / "fresh"
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            for part in PARTS:
                shutil.copytree(old / part, fresh / part) if (old / part).is_dir() else shutil.copy(old / part, fresh / part)
            full, wrong_in_full = run(pipe, fresh)
            mine, theirs, of = digests(pipe, old), digests(pipe, fresh), published(old)
            for table in sorted(mine.keys() & theirs.keys()):
                job, grows = of.get(table, ("?", True))
                if grows or job in wrong | wrong_in_full:
                    continue
                compared += 1
                if mine[table] != theirs[table]:
                    failed = True
                    print(f"run {number} ({what}): {table} is not what a full run gives", flush=True)
            if result["code"] not in (0, 1) or full["code"] not in (0, 1):
                failed |= result["code"] != full["code"]
                print(f"run {number} ({what}): exit codes {result['code']} and {full['code']}: {result['err'].splitlines()[:1]}", flush=True)
                # A project that does not compile compares nothing: the edit is taken back.
                if undo and not what.startswith("back"):
                    path, text = undo.pop()
                    (old / path).write_text(text)
            if number % 10 == 0:
                print(f"run {number:4} ({what}): {result['cpu']:.2f} s, full {full['cpu']:.2f} s, {result['peak']:.0f} MiB, "
                      f"{files[-1]} files", flush=True)
        half = len(peaks) // 2
        print(f"{len(peaks)} runs, {compared} tables compared; peak {max(peaks[:half] or [0]):.0f} then {max(peaks[half:]):.0f} MiB; "
              f"files {max(files[:half] or [0])} then {max(files[half:])}")
        failed |= half > 20 and (max(peaks[half:]) > 1.25 * max(peaks[:half]) or max(files[half:]) > 1.5 * max(files[:half]))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
