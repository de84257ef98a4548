#!/usr/bin/env python3
"""Made-up events of users and items for the transforms' benches, as Parquet: the same rows on every machine.

Items are drawn by the Zipf–Mandelbrot law 1 ÷ (rank + 20), users' activity is log-normal with σ = 1, times lie in 90
days, and rows stand in random order. Of twenty million events of 200,000 users, 18 million are different pairs of user
and item, and seven in ten pairs of items have a user in common.

usage: python3 tests/bench/events.py FOLDER     (needs: pip install numpy pyarrow)
"""
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ITEMS = 20_000
CATEGORIES = 40
DAYS = 90
START = 1_785_542_400_000_000  # 2026-08-01, in microseconds
ROWS = 1 << 20  # of one row group
# file, rows, users, items
TABLES = [("events", 20_000_000, 200_000, ITEMS), ("some_events", 2_000_000, 20_000, ITEMS), ("few_events", 100_000, 943, 1_682)]


def pairs(random, rows, users, items):
    """Users and items of `rows` events; ids are scattered, so that their order says nothing about popularity."""
    activity = random.lognormal(0.0, 1.0, users)
    likes = 1.0 / (np.arange(1, items + 1) + 20.0)
    user_ids = random.permutation(users) + 1
    item_ids = 3 * random.permutation(items) + 7

    def draw(weights, count):
        return np.searchsorted(np.cumsum(weights) / weights.sum(), random.random(count)).clip(max=len(weights) - 1)

    for start in range(0, rows, ROWS):
        count = min(ROWS, rows - start)
        yield user_ids[draw(activity, count)], item_ids[draw(likes, count)]


def write(path, tables):
    tables = iter(tables)
    first = next(tables)
    with pq.ParquetWriter(path, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def events(random, rows, users, items):
    for user, item in pairs(random, rows, users, items):
        at = START + random.integers(0, DAYS * 86_400_000_000, len(user))
        weight = random.choice([1.0, 1.5, 3.0], len(user), p=[0.7, 0.2, 0.1])
        yield pa.table({"user_id": user, "item_id": item, "watched_at": pa.array(at, pa.timestamp("us")), "weight": weight})


def candidates(random, rows, users, items):
    for user, item in pairs(random, rows, users, items):
        yield pa.table({"user_id": user, "item_id": item, "score": random.random(len(user))})


def vectors(random, count, width):
    """Vectors around a hundred centres, as embeddings of texts are."""
    centres = random.standard_normal((100, width))
    numbers = centres[random.integers(0, 100, count)] + 1.5 * random.standard_normal((count, width))
    flat = pa.array(numbers.astype(np.float32).ravel())
    return pa.table({"item_id": np.arange(1, count + 1), "embedding": pa.FixedSizeListArray.from_arrays(flat, width)})


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, rows, users, items) in enumerate(TABLES):
        write(folder / f"{name}.parquet", events(np.random.default_rng(seed), rows, users, items))
    write(folder / "candidates.parquet", candidates(np.random.default_rng(11), 20_000_000, 200_000, ITEMS))
    random = np.random.default_rng(12)
    categories = pa.table({"item_id": 3 * np.arange(ITEMS) + 7, "category_id": random.integers(1, CATEGORIES + 1, ITEMS)})
    pq.write_table(categories, folder / "items.parquet")
    pq.write_table(vectors(random, ITEMS, 384), folder / "vectors.parquet")


if __name__ == "__main__":
    main()
