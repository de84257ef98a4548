#!/usr/bin/env python3
"""What the engine itself costs on a wide and deep job: CPU seconds and peak memory of whole processes.

The first job has 50 steps in each of 20 layers; each step joins two of the layer above. Its limits are those that the project
promises; a figure over its limit ends with exit code 1. What a step costs beyond its SQL is the difference between a full
run and the same statements, one `create table … as` each, in one in-memory session: YAML, planning, Parquet, publishing and
the ledger. The second is `this_week` on the samples.

usage: python3 tests/bench/engine.py [--pipe target/release/pipe] [--wide 50] [--deep 20] [--keep FOLDER]
"""
import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from measure import best

SETTINGS = "default_target: local\ntargets:\n  local:\n    backend: datafusion\n    sources: data/\n    date: 2026-11-01\n"
CONTRACT = "schema: raw\ntables:\n  events:\n    columns: {id: number, grp: number, amount: number, name: varchar}\n"


def build(folder, wide, deep):
    """The project's folder: a source of a thousand rows and the job `layers`."""
    for part in ("pipelines", "schemas", "sql/layers", "data/raw"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "pipe.yaml").write_text(SETTINGS)
    (folder / "schemas/raw.yaml").write_text(CONTRACT)
    rows = (f"{i},{i % 10},{i * 7 % 101},name {i}" for i in range(1000))
    (folder / "data/raw/events.csv").write_text("id,grp,amount,name\n" + "\n".join(rows) + "\n")
    steps = []
    for layer in range(deep):
        for place in range(wide):
            name = f"l{layer}_{place}"
            steps.append(f"  {name}:\n    publish: out.{name}\n")
            (folder / f"sql/layers/{name}.sql").write_text(sql(layer, place, wide))
    (folder / "pipelines/layers.yaml").write_text("job: layers\nsteps:\n" + "".join(steps))


def sql(layer, place, wide):
    if layer == 0:
        return f"select id, grp, amount + {place} as amount, name\nfrom raw.events\nwhere id % {wide} = {place}\n"
    left, right = f"l{layer - 1}_{place}", f"l{layer - 1}_{(place + 1) % wide}"
    return (f"select a.id, a.grp, a.amount + coalesce(b.amount, 0) as amount, upper(a.name) as name\n"
            f"from {left} as a\nleft join {right} as b on b.id = a.id\nwhere a.grp >= 0\n")


def statements(wide, deep):
    """The same SQL as one script for a session in memory."""
    yield "create schema raw; create schema out;"
    yield ("create table raw.events as select seq4() as id, seq4() % 10 as grp, seq4() * 7 % 101 as amount, "
           "'name ' || seq4() as name from table(generator(rowcount => 1000));")
    yield "use schema out;"
    for layer in range(deep):
        for place in range(wide):
            yield f"create table l{layer}_{place} as {sql(layer, place, wide)};"


def samples(folder):
    """A copy of this project with its samples, which nothing has run in."""
    root = Path(__file__).resolve().parents[2]
    folder.mkdir()
    shutil.copy(root / "pipe.yaml", folder)
    for part in ("pipelines", "sql", "schemas", "samples"):
        shutil.copytree(root / part, folder / part)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pipe", default="target/release/pipe")
    parser.add_argument("--wide", type=int, default=50)
    parser.add_argument("--deep", type=int, default=20)
    parser.add_argument("--keep", help="leave the project in this folder")
    arguments = parser.parse_args()
    pipe = Path(arguments.pipe).resolve()
    folder = Path(arguments.keep or tempfile.mkdtemp(prefix="pipe-bench-"))
    samples_at = Path(tempfile.mkdtemp(prefix="pipe-bench-")) / "samples"
    build(folder, arguments.wide, arguments.deep)
    steps = arguments.wide * arguments.deep
    last = f"l{arguments.deep - 1}_0"
    failed = False

    def tell(what, result, limit, peak=None, per=1):
        nonlocal failed
        cpu = result["cpu"] / per
        over = limit is not None and cpu > limit or (peak is not None and result["peak"] > peak)
        failed |= over
        unit = "ms" if per > 1 else "s"
        scale = 1000 if per > 1 else 1
        bound = "" if limit is None else f"(limit {limit * scale:g} {unit}" + (f", {peak} MiB)" if peak else ")")
        print(f"{what:44} {cpu * scale:8.3f} {unit}  {result['peak']:7.1f} MiB  wall {result['wall']:6.2f} s  "
              f"{bound}{'  OVER' if over else ''}")

    try:
        tell("pipe --version", best([pipe, "--version"], cwd=folder), 0.02)
        tell(f"validate {steps} steps", best([pipe, "validate", "layers"], cwd=folder), 0.3, 120)
        tell("render one step", best([pipe, "render", "layers", last], cwd=folder), 0.3)
        first = best([pipe, "run", "layers", "--quiet"], runs=1, cwd=folder)
        tell("full run, a step", first, None, per=steps)
        (folder / "script.sql").write_text("\n".join(statements(arguments.wide, arguments.deep)))
        alone = best([pipe, "sql", "--memory", "--file", "script.sql"], cwd=folder)
        tell("its SQL alone, a step", alone, None, per=steps)
        own = dict(first, cpu=first["cpu"] - alone["cpu"])
        tell("the engine's own cost, a step", own, 0.002, per=steps)
        tell("nothing-changed run", best([pipe, "run", "layers"], cwd=folder), None)
        one = [pipe, "run", "layers", "--select", last, "--full-refresh", "--quiet"]
        tell("one selected step", best(one, cwd=folder), 0.3)
        samples(samples_at)
        tell("this_week on the samples", best([pipe, "run", "this_week", "--quiet"], runs=1, cwd=samples_at), 0.5)
        tell("the same, nothing changed", best([pipe, "run", "this_week", "--quiet"], cwd=samples_at), 0.1)
    finally:
        shutil.rmtree(samples_at.parent, ignore_errors=True)
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
