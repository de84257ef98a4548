#!/usr/bin/env python3
"""The built-in transforms beside other libraries: CPU seconds and peak memory of whole processes, Parquet to Parquet.

Each task is a job of one step on the rows of events.py, run by `pipe run` and published. A figure over its limit ends
with exit code 1. Wall time is held to 0.6 of CPU time where a task takes a second or more: two cores must be busy.

usage: python3 tests/bench/transforms.py [--pipe target/release/pipe] [--data FOLDER] [--only TASK] [--no-peers]
       (needs: pip install numpy pyarrow duckdb polars scipy sparse_dot_topn implicit)
"""
import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import best, measure

HERE = Path(__file__).resolve().parent
SETTINGS = "default_target: local\ntargets:\n  local:\n    backend: datafusion\n    sources: data/\n    date: 2026-11-01\n"
EVENTS = "{columns: {user_id: number, item_id: number, watched_at: timestamp_ntz, weight: float}}"
CONTRACT = f"""schema: bench
tables:
  events: {EVENTS}
  some_events: {EVENTS}
  few_events: {EVENTS}
  candidates: {{columns: {{user_id: number, item_id: number, score: float}}}}
  items: {{columns: {{item_id: number, category_id: number}}}}
  vectors: {{columns: {{item_id: number, embedding: "vector(float, 384)"}}}}
"""
AFFINITY = "affinity: {input: bench.events, user: user_id, item: item_id, time: watched_at, value: weight, half_life: 30d"
SIMILARITY = "similarity: {{input: bench.{}, user: user_id, item: item_id, top: 20}}"
# task: the step, the limits of CPU seconds and MiB, the peers
TASKS = {
    "rank": ("rank: {input: bench.candidates, partition_by: user_id, score: score, top: 50, tie_break: item_id}", 4, None,
             [("rank", "duckdb"), ("rank", "polars")]),
    "affinity": (AFFINITY + "}", 10, None, [("affinity", "polars"), ("affinity", "duckdb")]),
    "affinity_categories": (AFFINITY + ", propagate: {input: bench.items, to: category_id}}", 10, None, []),
    "similarity": (SIMILARITY.format("events"), 12, 500, [("similarity", "sparse_dot_topn"), ("similarity", "implicit")]),
    "similarity_weighted": ("similarity: {input: bench.events, user: user_id, item: item_id, value: weight, top: 20}", None, None, []),
    "similarity_some": (SIMILARITY.format("some_events"), 2, None,
                        [("similarity", "sparse_dot_topn", "some_events"), ("similarity", "implicit", "some_events"), ("similarity", "scipy", "some_events")]),
    "similarity_few": (SIMILARITY.format("few_events"), 0.1, None, [("similarity", "scipy", "few_events")]),
    "dense": ("similarity: {input: bench.vectors, of: vectors, item: item_id, vector: embedding, top: 20}", 5, None, [("dense", "numpy")]),
}


def project(folder, data):
    for part in ("pipelines", "schemas", "data"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "pipe.yaml").write_text(SETTINGS)
    (folder / "schemas/bench.yaml").write_text(CONTRACT)
    link = folder / "data/bench"
    if not link.exists():
        link.symlink_to(data.resolve(), target_is_directory=True)
    for name, (step, *_) in TASKS.items():
        (folder / f"pipelines/{name}.yaml").write_text(f"job: {name}\nsteps:\n  {name}:\n    publish: out.{name}\n    {step}\n")


def show(who, result, limit=None, peak=None):
    wide = result["wall"] / result["cpu"]
    over = (limit and result["cpu"] > limit) or (peak and result["peak"] > peak) or (limit and result["cpu"] >= 1 and wide > 0.6)
    bound = ", ".join([f"{limit} s"] * bool(limit) + [f"{peak} MiB"] * bool(peak))
    print(f"  {who:18}{result['cpu']:8.2f} s{result['wall']:8.2f} s wall ({wide:.2f}){result['peak']:8.0f} MiB"
          f"{f'   limit {bound}' if bound else ''}{'   OVER' if over else ''}", flush=True)
    return bool(over)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pipe", default="target/release/pipe")
    parser.add_argument("--data", help="the rows of events.py, made there if need be")
    parser.add_argument("--only", action="append", choices=TASKS, help="one task, or several")
    parser.add_argument("--memory-limit", help="that of `pipe run`")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--no-peers", action="store_true")
    a = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="pipe-bench-"))
    data = Path(a.data) if a.data else scratch / "rows"
    failed = False
    try:
        if not (data / "vectors.parquet").exists():
            subprocess.run([sys.executable, HERE / "events.py", data], check=True)
        project(scratch / "project", data)
        memory = ["--memory-limit", a.memory_limit] if a.memory_limit else []
        for name in a.only or TASKS:
            _, limit, peak, peers = TASKS[name]
            print(name)
            command = [Path(a.pipe).resolve(), "run", name, "--full-refresh", "--quiet", *memory]
            failed |= show("pipe", best(command, a.runs, cwd=scratch / "project"), limit, peak)
            for task, library, *events in [] if a.no_peers else peers:
                result = measure([sys.executable, HERE / "peers.py", task, library, data, scratch / "out.parquet", *events])
                if result["code"] == 0:
                    show(library, result)
                else:
                    print(f"  {library}: {result['err'].strip().splitlines()[-1]}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
