#!/usr/bin/env python3
"""MovieLens-100k: the SAR formula reproduces the row that Microsoft publishes for it, and the default model beats it.

The 75/25 split is that of recommenders before 1.2: of each user's ratings, in the order of the file, pandas
`sample(frac=1, random_state=42)`, the first three quarters to train. Then, for its figures, the same models on a
chronological split of each user's ratings, where what is recent matters more than what is alike. Everything from the split on is computed by the program.

usage: python3 tests/parity/movielens.py [--pipe target/debug/pipe]        with the packages of requirements.txt
"""
import argparse
import subprocess
import sys
import tempfile
import zipfile
from io import StringIO
from pathlib import Path

import pandas as pd

from project import Project

# https://github.com/recommenders-team/recommenders, README: "Performance Comparison", the row of SAR, k = 10.
PUBLISHED = {"map": 0.110591, "ndcg": 0.382461, "precision": 0.330753, "recall": 0.176385}


def ratings():
    """The ratings in the order of the data set's own file."""
    with tempfile.TemporaryDirectory() as folder:
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, "recbole==1.2.1"]
        subprocess.run(fetch, check=True)
        (wheel,) = Path(folder).glob("recbole-*.whl")
        text = zipfile.ZipFile(wheel).read("recbole/dataset_example/ml-100k/ml-100k.inter").decode()
    frame = pd.read_csv(StringIO(text), sep="\t", header=0, names=["user_id", "item_id", "rating", "seconds"])
    frame = frame.astype({"user_id": int, "item_id": int, "seconds": int})
    frame["at"] = pd.to_datetime(frame.pop("seconds"), unit="s")
    return frame


def random_split(frame):
    """Per user, as `python_random_split` by user was until recommenders 1.2."""
    parts = {"train": [], "test": []}
    for _, rows in frame.groupby("user_id"):
        rows = rows.sample(frac=1, random_state=42)
        cut = round(0.75 * len(rows))
        parts["train"].append(rows[:cut])
        parts["test"].append(rows[cut:])
    return {name: pd.concat(part) for name, part in parts.items()}


def models(project, train, test):
    """Adds the models and their evaluation; `train` and `test` are tables or steps."""
    plain = dict(user="user_id", item="item_id")
    liked = dict(input="liked", **plain, value="affinity")
    project.step("liked", "affinity", input=train, **plain, value="rating", time="at", half_life="30d")
    project.step("jaccard", "similarity", input=train, **plain, metric="jaccard", top=2000)
    project.step("sar", "recommend", **liked, model="jaccard", top=10)
    project.step("ease", "train", input=train, **plain)
    project.step("by_default", "recommend", input=train, **plain, model="ease", top=10)
    project.step("recent", "recommend", **liked, model="ease", top=10)
    project.step("cosine", "similarity", input=train, **plain, shrinkage=10, top=100)
    project.step("nearest", "recommend", input=train, **plain, model="cosine", top=10)
    for name in ("sar", "by_default", "recent", "nearest"):
        project.step(f"{name}_scores", "evaluate", input=name, truth=test, train=train, **plain, k=10)


def scores(project, name):
    found = project.rows(f"{name}_scores")
    return dict(zip(found.metric, found.value))


def show(title, project):
    print(f"\n{title}")
    print(f"{'':44}" + "".join(f"{name:>11}" for name in PUBLISHED))
    rows = {
        "SAR: jaccard, half-life 30 days": "sar", "default: EASE, regularization 500": "by_default",
        "EASE on what was liked, half-life 30 days": "recent",
        "cosine, shrinkage 10, 100 neighbours": "nearest",
    }
    found = {name: scores(project, name) for name in rows.values()}
    for label, name in rows.items():
        print(f"{label:44}" + "".join(f"{found[name][metric]:11.6f}" for metric in PUBLISHED))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pipe", default="target/debug/pipe")
    pipe = str(Path(parser.parse_args().pipe).resolve())
    frame = ratings()
    project = Project(pipe, now="1998-04-23")
    for name, part in random_split(frame).items():
        project.table(name, part.copy())
    models(project, "raw.train", "raw.test")
    found = show("random split, 75 % of each user's ratings", project.run())
    print(f"{'SAR as published':44}" + "".join(f"{value:11.6f}" for value in PUBLISHED.values()))

    later = Project(pipe, now="1998-04-23")
    later.table("ratings", frame.copy())
    later.step("parts", "split", input="raw.ratings", user="user_id", item="item_id", time="at", ratio=0.75)
    later.sql("train", "select user_id, item_id, rating, at from parts where part = 'train'")
    later.sql("test", "select user_id, item_id from parts where part = 'test'")
    models(later, "train", "test")
    show("chronological split, the first 75 % of each user's ratings", later.run())

    wrong = [name for name, value in PUBLISHED.items() if round(found["sar"][name], 4) != round(value, 4)]
    worse = [name for name in PUBLISHED if found["by_default"][name] < 1.1 * found["sar"][name]]
    if wrong or worse:
        sys.exit(f"SAR differs from what is published in {wrong}; the default does not beat it in {worse}")


main()
