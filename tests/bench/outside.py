#!/usr/bin/env python3
"""What rows cost on their way in and out: CPU and wall seconds of whole processes, those of the same process on one row taken off.

- fetch: a million rows of eight columns from the warehouse's stand-in to Arrow, beside Snowflake's Python connector on the same
  rows: as Arrow from fakesnow's own server, and as JSON, the one form that pipe's connector reads, from the same stand-in.
- steps: a hundred steps of one row each that are published, one after the other: what a step costs beyond the time in which the
  warehouse's stand-in answers.
- postgres: as many rows from Parquet into PostgreSQL, beside `\\copy` of a CSV file by psql and, where Python has `pgpq`,
  `psycopg` and `pyarrow`, beside pgpq's binary COPY.
- s3: as many rows from Parquet to S3, which moto plays, as Parquet, beside pyarrow's writer.

usage: target/stand-ins/venv/bin/python tests/bench/outside.py [--pipe target/release/pipe] [--rows 1000000] [fetch] [steps] [postgres] [s3]
"""
import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import json
from pathlib import Path

from measure import best

STAND_INS = Path(__file__).resolve().parents[1] / "stand_ins"
COLUMNS = "id: number, grp: number, amount: 'number(12,2)', ratio: float, name: varchar, day: date, at: timestamp_ntz, flag: boolean"
SELECT = ("select range::bigint as ID, (range % 1000)::bigint as GRP, (range % 100000 / 7)::decimal(12, 2) as AMOUNT, range / 3::double as RATIO, "
          "'name ' || (range * 7919 % 100003) as NAME, date '2026-01-01' + (range % 365)::int as DAY, "
          "timestamp '2026-01-01' + to_seconds(range % 31536000) as AT, range % 3 = 0 as FLAG from range({rows})")
WAREHOUSE = ("targets:\n  prod: {{backend: snowflake, account: acme, user: PIPE, warehouse: WH, database: B, host: 'http://127.0.0.1:{port}', "
             "date: 2026-11-02, password: \"{{{{ secret('/pw') }}}}\"}}\n")
PYTHON_FETCH = """
import sys, snowflake.connector as sf
port, table, form = sys.argv[1:]
of = sf.connect(user="PIPE", password="pw", account="acme", host="127.0.0.1", port=int(port), protocol="http", database="B",
                session_parameters={"CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False})
cursor = of.cursor().execute(f"select * from B.RAW.{table}")
print(cursor.fetch_arrow_all().num_rows if form == "arrow" else len(cursor.fetchall()))
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(command, port, **env):
    child = subprocess.Popen(list(map(str, command)), env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return child
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{command[0]} does not answer")


def gate(port, **told):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/__gate", json.dumps(told).encode())
    return json.loads(urllib.request.urlopen(request).read())


def net(many, one):
    """What the rows cost beyond what the process costs."""
    return many["cpu"] - one["cpu"], many["wall"] - one["wall"]


def told(label, rows, many, one):
    cpu, wall = net(many, one)
    print(f"{label:44} {cpu:7.2f} s CPU {wall:7.2f} s wall {rows / max(cpu, 1e-3) / 1000:8.0f}k rows per CPU second  peak {many['peak']:.0f} MiB")
    return rows / max(cpu, 1e-3)


def project(folder, settings, steps):
    for part in ("pipelines", "schemas"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "pipe.yaml").write_text(settings)
    tables = "".join(f"  {name}:\n    columns: {{{COLUMNS}}}\n" for name in ("wide", "one"))
    (folder / "schemas/raw.yaml").write_text(f"schema: raw\ntables:\n{tables}")
    for name in ("wide", "one"):
        (folder / f"pipelines/{name}.yaml").write_text(f"job: {name}\nsteps:\n{steps.format(table=f'raw.{name}', name=name)}")


def fetch(pipe, rows, folder):
    port, plain = free_port(), free_port()
    users = json.dumps({"PIPE": {"password": "pw"}})
    servers = [start([sys.executable, STAND_INS / "warehouse.py", port], port, USERS=users, CHUNK_ROWS="100000", ASYNC_AFTER="3600")]
    code = ("import sys, uvicorn, fakesnow.server as f; from starlette.applications import Starlette; "
            "f.shared_fs.connect('B', 'RAW'); "
            f"[f.shared_fs.duck_conn.cursor().execute(s) for s in {[f'create table B.RAW.{t} as {SELECT.format(rows=n)}' for t, n in (('WIDE', rows), ('ONE', 1))]!r}]; "
            f"uvicorn.run(f.app, host='127.0.0.1', port={plain}, log_level='error')")
    servers.append(start([sys.executable, "-c", code], plain))
    try:
        gate(port, sql=["create schema if not exists raw"], database="B")
        gate(port, duckdb=[f"create table B.RAW.{t} as {SELECT.format(rows=n)}" for t, n in (("WIDE", rows), ("ONE", 1))])
        os.environ["PIPE_PW"] = os.environ["PW"] = "pw"
        step = ("  out: {{publish: mart.{name}, engine: local, sql: \"select count(*) as n, sum(id) as i, sum(grp) as g, sum(amount) as a, sum(ratio) as r, "
                "max(name) as m, max(day) as d, max(at) as t, count_if(flag) as f from {table}\"}}\n")
        project(folder, WAREHOUSE.format(port=port), step)
        run = lambda job: best([pipe, "run", job, "--full-refresh"], 3, cwd=folder)
        python = lambda at, table, form: best([sys.executable, "-c", PYTHON_FETCH, at, table, form], 3)
        ours = told("pipe: JSON to Arrow", rows, run("wide"), run("one"))
        for label, at, form in (("connector for Python: Arrow", plain, "arrow"), ("connector for Python: JSON to tuples", port, "rows")):
            try:
                theirs = told(label, rows, python(at, "WIDE", form), python(at, "ONE", form))
                print(f"{'':44} pipe fetches {ours / theirs:.1f} times as many rows per CPU second")
            except RuntimeError as error:
                print(f"{label}: {str(error).strip().splitlines()[-1]}")
    finally:
        for server in servers:
            server.kill()


def steps(pipe, _, folder):
    port = free_port()
    server = start([sys.executable, STAND_INS / "warehouse.py", port], port, USERS=json.dumps({"PIPE": {"password": "pw"}}))
    try:
        gate(port, sql=["create schema if not exists raw"], database="B")
        os.environ["PIPE_PW"] = os.environ["PW"] = "pw"
        project(folder, WAREHOUSE.format(port=port), "  out: {{publish: mart.{name}, sql: \"select 1 as one\"}}\n")
        for path in folder.glob("pipelines/*.yaml"):
            path.unlink()
        for name, count in (("few", 1), ("many", 101)):
            lines = "".join(f"  s{at}: {{publish: mart.{name}_{at}, sql: 'select {at} as one'}}\n" for at in range(count))
            (folder / f"pipelines/{name}.yaml").write_text(f"job: {name}\nsteps:\n{lines}")
        figures = {}
        for name in ("few", "many"):
            runs = []
            for _ in range(3):
                before = gate(port, clear=True)["seconds"]
                run = best([pipe, "run", name, "--full-refresh", "-j", "1"], 1, cwd=folder)
                runs.append((run["wall"] - (gate(port)["seconds"] - before), run["cpu"], run["wall"]))
            figures[name] = min(runs)
        own, cpu, wall = ((many - few) * 10 for few, many in zip(figures["few"], figures["many"]))
        print(f"{'pipe: a published step on the warehouse':44} {own:7.2f} ms beyond the server's time, {cpu:.2f} ms CPU, {wall:.0f} ms in all")
    finally:
        server.kill()


def parquet(folder, rows):
    import duckdb
    data = folder / "data/raw"
    data.mkdir(parents=True, exist_ok=True)
    for name, count in (("wide", rows), ("one", 1)):
        duckdb.sql(SELECT.format(rows=count)).write_parquet(str(data / f"{name}.parquet"))
        duckdb.sql(SELECT.format(rows=count)).write_csv(str(folder / f"{name}.csv"), header=False)


LOCAL = "default_target: local\ntargets:\n  local: {backend: datafusion, sources: data/, date: 2026-11-02}\n"
PGPQ = """
import sys, pgpq, psycopg, pyarrow.parquet as pq
place, file, table = sys.argv[1:]
rows = pq.read_table(file)
encoder = pgpq.ArrowToPostgresBinaryEncoder(rows.schema)
with psycopg.connect(place) as connection, connection.cursor() as cursor:
    cursor.execute(f"truncate {table}")
    with cursor.copy(f"copy {table} from stdin with (format binary)") as copy:
        copy.write(encoder.write_header())
        for batch in rows.to_batches():
            copy.write(encoder.write_batch(batch))
        copy.write(encoder.finish())
"""


def postgres(pipe, rows, folder):
    parquet(folder, rows)
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    port, data = free_port(), folder / "pg"
    root = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    data.mkdir()
    if root:
        subprocess.run(["chmod", "755", folder], check=True)
        subprocess.run(["chown", "postgres", data], check=True)
    subprocess.run([*root, binaries / "initdb", "-D", data, "-U", "pipe", "--auth=trust", "--no-sync"], check=True, stdout=subprocess.DEVNULL)
    server = start([*root, binaries / "postgres", "-D", data, "-p", port, "-h", "127.0.0.1", "-k", "", "-c", "fsync=off"], port)
    place = f"host=127.0.0.1 port={port} user=pipe dbname=postgres"
    psql = lambda sql: best([binaries / "psql", place, "-q", "-v", "ON_ERROR_STOP=1", "-c", sql], 3)
    os.environ["PIPE_PW"] = os.environ["PW"] = "pw"
    try:
        time.sleep(1)
        connection = f"connections:\n  db: {{host: 127.0.0.1, port: {port}, database: postgres, user: pipe, password: \"{{{{ secret('/pw') }}}}\", tls: disable}}\n"
        project(folder, LOCAL + connection, "  out: {{export: {{input: {table}, postgres: {{connection: db, table: pipe_{name}, mode: replace}}}}}}\n")
        run = lambda job: best([pipe, "run", job, "--full-refresh"], 3, cwd=folder)
        many, one = run("wide"), run("one")
        told("pipe: Parquet to PostgreSQL", rows, many, one)
        for name in ("wide", "one"):
            psql(f"create table if not exists by_copy_{name} (like pipe_{name}); create table if not exists by_pgpq_{name} "
                 "(id bigint, grp bigint, amount numeric, ratio float8, name text, day date, at timestamp, flag boolean)")
        copy = lambda name: best([binaries / "psql", place, "-q", "-c", f"truncate by_copy_{name}", "-c", f"\\copy by_copy_{name} from '{folder}/{name}.csv' csv"], 3)
        beside = copy("wide"), copy("one")
        told("psql: CSV by \\copy", rows, *beside)
        print(f"{'':44} wall: pipe takes {net(many, one)[1] / net(*beside)[1]:.2f} times as long")
        try:
            pgpq = lambda name: best([sys.executable, "-c", PGPQ, place, folder / f"data/raw/{name}.parquet", f"by_pgpq_{name}"], 3)
            beside = pgpq("wide"), pgpq("one")
            told("pgpq: Parquet by binary COPY", rows, *beside)
            print(f"{'':44} wall: pipe takes {net(many, one)[1] / net(*beside)[1]:.2f} times as long")
        except RuntimeError as error:
            print(f"pgpq: {str(error).strip().splitlines()[-1]}")
    finally:
        server.terminate()


PYARROW = """
import sys, pyarrow.parquet as pq, pyarrow.fs
port, file = sys.argv[1:]
s3 = pyarrow.fs.S3FileSystem(access_key="a", secret_key="b", region="eu-west-1", scheme="http", endpoint_override=f"127.0.0.1:{port}")
pq.write_table(pq.read_table(file), "bench/pyarrow.parquet", filesystem=s3, compression="zstd")
"""


def s3(pipe, rows, folder):
    parquet(folder, rows)
    port = free_port()
    server = start([Path(sys.executable).parent / "moto_server", "-H", "127.0.0.1", "-p", port], port)
    os.environ.update(AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}", AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b", AWS_REGION="eu-west-1")
    try:
        place = b"<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>"
        urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/bench", place, method="PUT"))
        project(folder, LOCAL, "  out: {{export: {{input: {table}, files: {{path: 's3://bench/{name}/', format: parquet, compression: zstd}}}}}}\n")
        run = lambda job: best([pipe, "run", job, "--full-refresh"], 3, cwd=folder)
        many, one = run("wide"), run("one")
        told("pipe: Parquet to Parquet in S3", rows, many, one)
        python = lambda name: best([sys.executable, "-c", PYARROW, port, folder / f"data/raw/{name}.parquet"], 3)
        beside = python("wide"), python("one")
        told("pyarrow: Parquet to Parquet in S3", rows, *beside)
        print(f"{'':44} wall: pipe takes {net(many, one)[1] / net(*beside)[1]:.2f} times as long")
    finally:
        server.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", default=["fetch", "steps", "postgres", "s3"])
    parser.add_argument("--pipe", default="target/release/pipe")
    parser.add_argument("--rows", type=int, default=1_000_000)
    a = parser.parse_args()
    for what in a.what:
        folder = Path(tempfile.mkdtemp(prefix="pipe-outside-"))
        try:
            {"fetch": fetch, "steps": steps, "postgres": postgres, "s3": s3}[what](Path(a.pipe).resolve(), a.rows, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


main()
