"""A throw-away project: tables as Parquet, one job of transforms, the rows they publish."""
import json
import subprocess
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

TYPES = {"i": "number", "f": "float", "O": "varchar", "M": "timestamp_ntz", "b": "boolean"}


def sql_type(column):
    return TYPES[column.dtype.kind]


class Project:
    """Tables of the schema `raw` and steps that publish `ml.<step>`."""

    def __init__(self, pipe, now="2026-11-01"):
        self.pipe, self.now = pipe, now
        self.holder = tempfile.TemporaryDirectory(prefix="pipe-parity-")
        self.folder = Path(self.holder.name)
        self.tables, self.steps = {}, {}
        for part in ("pipelines", "schemas", "data/raw"):
            (self.folder / part).mkdir(parents=True)

    def table(self, name, frame):
        """Adds a source table."""
        frame.columns = [column.lower() for column in frame.columns]
        self.tables[name] = {column: sql_type(frame[column]) for column in frame.columns}
        table = pa.Table.from_pandas(frame, preserve_index=False)
        for at, field in enumerate(table.schema):
            if pa.types.is_timestamp(field.type):
                table = table.set_column(at, field.name, table.column(at).cast(pa.timestamp("us")))
        pq.write_table(table, self.folder / f"data/raw/{name}.parquet")

    def step(self, name, kind, **parameters):
        """Adds a step; a dotted name of a table or the name of another step is its input."""
        self.steps[name] = {kind: parameters, "publish": f"ml.{name}"}

    def sql(self, name, text):
        """Adds a step of SQL."""
        self.steps[name] = {"sql": text}

    def run(self):
        """Runs the job."""
        settings = {"local": {"backend": "datafusion", "sources": "data/", "date": self.now}}
        self.write("pipe.yaml", {"default_target": "local", "targets": settings})
        columns = {name: {"columns": columns} for name, columns in self.tables.items()}
        self.write("schemas/raw.yaml", {"schema": "raw", "tables": columns})
        self.write("pipelines/parity.yaml", {"job": "parity", "steps": self.steps})
        done = subprocess.run([self.pipe, "run", "parity", "--quiet"], cwd=self.folder, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"pipe run ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return self

    def write(self, path, content):
        # JSON is YAML.
        (self.folder / path).write_text(json.dumps(content, indent=1))

    def rows(self, step):
        """What a step published, its columns in lower case."""
        files = sorted((self.folder / f".pipe/warehouse/ml/{step}").glob("*.parquet"))
        frame = pd.concat([pq.read_table(file).to_pandas() for file in files])
        frame.columns = [column.lower() for column in frame.columns]
        for column in frame.columns:
            if frame[column].dtype == object and len(frame) and type(frame[column].iloc[0]).__name__ == "Decimal":
                frame[column] = frame[column].astype("int64")
        return frame.reset_index(drop=True)
