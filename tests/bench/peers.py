"""What other libraries do for the transforms' benches, Parquet to Parquet: one task of one library in one process.

usage: python3 tests/bench/peers.py TASK LIBRARY FOLDER OUT     (needs: pip install numpy pyarrow and the library)
"""
import os
import sys

HALF_LIFE_DAYS = 30
TOP = 20
USERS_TOP = 50


def rank_duckdb(folder, out):
    import duckdb
    duckdb.connect(config={"threads": 2, "preserve_insertion_order": False}).execute(f"""
        copy (select user_id, item_id, score, n from (
                select *, row_number() over (partition by user_id order by score desc nulls last, item_id) as n
                from '{folder}/candidates.parquet') where n <= {USERS_TOP}) to '{out}' (format parquet)""")


def rank_polars(folder, out):
    import polars as pl
    rows = pl.scan_parquet(f"{folder}/candidates.parquet").sort(["user_id", "score", "item_id"], descending=[False, True, False])
    rows = rows.with_columns(n=pl.int_range(1, pl.len() + 1).over("user_id")).filter(pl.col("n") <= USERS_TOP)
    rows.collect().write_parquet(out)


def affinity_polars(folder, out):
    import polars as pl
    events = pl.scan_parquet(f"{folder}/events.parquet")
    newest = events.select(pl.col("watched_at").max()).collect().item()
    age = (pl.lit(newest) - pl.col("watched_at")).dt.total_microseconds() / 86_400e6
    pairs = events.with_columns(w=pl.col("weight") * 0.5 ** (age / HALF_LIFE_DAYS)).group_by("user_id", "item_id").agg(
        affinity=pl.col("w").sum(), events=pl.len(), last_at=pl.col("watched_at").max()).collect()
    pairs.write_parquet(out)
    items = pl.read_parquet(f"{folder}/items.parquet")
    pairs.lazy().join(items.lazy(), on="item_id").group_by("user_id", "category_id").agg(
        pl.col("affinity").sum()).collect().write_parquet(out + ".categories")


def affinity_duckdb(folder, out):
    import duckdb
    con = duckdb.connect(config={"threads": 2, "preserve_insertion_order": False})
    con.execute(f"""
        create temp table pairs as
        select user_id, item_id, sum(weight * power(0.5, (epoch_us(newest) - epoch_us(watched_at)) / (86400e6 * {HALF_LIFE_DAYS}))) as affinity,
               count(*) as events, max(watched_at) as last_at
        from '{folder}/events.parquet', (select max(watched_at) as newest from '{folder}/events.parquet') group by user_id, item_id""")
    con.execute(f"copy pairs to '{out}' (format parquet)")
    con.execute(f"""copy (select user_id, category_id, sum(affinity) as affinity from pairs join '{folder}/items.parquet' using (item_id)
                          group by user_id, category_id) to '{out}.categories' (format parquet)""")


def matrix(folder, events):
    """Binary users × items, and the ids of items."""
    import numpy as np
    import pyarrow.parquet as pq
    import scipy.sparse as sp
    table = pq.read_table(f"{folder}/{events}.parquet", columns=["user_id", "item_id"])
    users, u = np.unique(table["user_id"].to_numpy(), return_inverse=True)
    items, i = np.unique(table["item_id"].to_numpy(), return_inverse=True)
    m = sp.csr_matrix((np.ones(len(u), np.float64), (u, i)), shape=(len(users), len(items)))
    m.sum_duplicates()
    m.data[:] = 1.0
    return m, items


def write_pairs(items, left, right, score, out):
    import pyarrow as pa
    import pyarrow.parquet as pq
    pq.write_table(pa.table({"item_id": items[left], "similar_item_id": items[right], "score": score}), out)


def of_matrix(similar, items, out):
    """Writes a matrix of similar items without its diagonal."""
    coo = similar.tocoo()
    other = coo.row != coo.col
    write_pairs(items, coo.row[other], coo.col[other], coo.data[other], out)


def similarity_sparse_dot_topn(folder, out, events="events"):
    import numpy as np
    import scipy.sparse as sp
    from sparse_dot_topn import sp_matmul_topn
    m, items = matrix(folder, events)
    norms = np.sqrt(np.asarray(m.sum(axis=0)).ravel())
    normed = (m @ sp.diags(1 / norms)).tocsr()
    of_matrix(sp_matmul_topn(normed.T.tocsr(), normed, top_n=TOP + 1, sort=True, n_threads=2), items, out)


def similarity_implicit(folder, out, events="events"):
    from implicit.nearest_neighbours import CosineRecommender
    m, items = matrix(folder, events)
    model = CosineRecommender(K=TOP + 1, num_threads=2)
    model.fit(m, show_progress=False)
    of_matrix(model.similarity, items, out)


def similarity_scipy(folder, out, events="events"):
    import numpy as np
    import scipy.sparse as sp
    m, items = matrix(folder, events)
    norms = np.sqrt(np.asarray(m.sum(axis=0)).ravel())
    normed = (m @ sp.diags(1 / norms)).tocsr()
    product = (normed.T @ normed).tocsr()
    product.setdiag(0)
    left, right, score = [], [], []
    for item in range(product.shape[0]):
        row = slice(product.indptr[item], product.indptr[item + 1])
        data = product.data[row]
        best = np.argsort(-data, kind="stable")[:TOP]
        left.append(np.full(len(best), item)), right.append(product.indices[row][best]), score.append(data[best])
    write_pairs(items, np.concatenate(left), np.concatenate(right), np.concatenate(score), out)


def dense_numpy(folder, out):
    import numpy as np
    import pyarrow.parquet as pq
    table = pq.read_table(f"{folder}/vectors.parquet")
    items = table["item_id"].to_numpy()
    x = table["embedding"].combine_chunks().flatten().to_numpy().reshape(len(items), -1)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    left, right, score = [], [], []
    for start in range(0, len(x), 1000):
        part = x[start:start + 1000] @ x.T
        rows = np.arange(len(part))
        part[rows, start + rows] = -np.inf
        best = np.argpartition(-part, TOP, axis=1)[:, :TOP]
        value = np.take_along_axis(part, best, axis=1)
        order = np.argsort(-value, axis=1)
        left.append(np.repeat(start + rows, TOP))
        right.append(np.take_along_axis(best, order, axis=1).ravel())
        score.append(np.take_along_axis(value, order, axis=1).ravel())
    write_pairs(items, np.concatenate(left), np.concatenate(right), np.concatenate(score), out)


if __name__ == "__main__":
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ.setdefault(variable, "2")
    task, library, folder, out, *rest = sys.argv[1:]
    globals()[f"{task}_{library}"](folder, out, *rest)
