#!/usr/bin/env python3
"""The built-in transforms beside the libraries whose definitions they follow, on random data.

Each line is one library call, how many values were compared, and the largest relative difference. A difference above
1e-9 ends with exit code 1 unless the line gives its reason. It runs the program, Parquet to Parquet.

usage: python3 tests/parity/parity.py [--pipe target/debug/pipe]
       with the packages of requirements.txt, and those of libraries.txt installed with --no-deps
"""
import argparse
import ast
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from project import Project

warnings.filterwarnings("ignore")
TOLERANCE = 1e-9
SINGLE = "the library computes in 32-bit floats"


class Report:
    """Lines of comparisons."""

    def __init__(self):
        self.failed = False

    def compare(self, call, ours, theirs, reason=None, tolerance=1e-4):
        """Two dicts of values by key. A reason allows a difference up to `tolerance`."""
        keys = set(ours) | set(theirs)
        missing = [key for key in keys if key not in ours or key not in theirs]
        # Where sums are of 32-bit floats, what matters is the difference beside the greatest value.
        scale = max(map(abs, theirs.values()), default=0.0) if reason else 1e-6
        difference = max((relative(ours[key], theirs[key], scale) for key in keys if key not in missing), default=0.0)
        bad = bool(missing) or not keys or not difference <= (tolerance if reason else TOLERANCE)
        self.failed |= bad
        note = f"  ({reason})" if reason and difference > TOLERANCE else ""
        lost = f"  {len(missing)} keys on one side only, such as {missing[0]}" if missing else ""
        print(f"{call:66} {len(keys):7d} {difference:9.1e}{note}{lost}{'  FAILED' if bad else ''}", flush=True)


def relative(a, b, scale):
    if a == b or (np.isnan(a) and np.isnan(b)):
        return 0.0
    # Values that are 0 but for rounding are compared absolutely.
    return abs(a - b) / max(abs(a), abs(b), scale)


def pairs(frame, keys, value):
    return dict(zip(zip(*(frame[key] for key in keys)), frame[value].astype(float)))


def cells(matrix, rows, columns):
    matrix = sp.coo_matrix(matrix)
    matrix.eliminate_zeros()
    return {(rows[r], columns[c]): v for r, c, v in zip(matrix.row, matrix.col, matrix.data)}


def nonzero(values):
    return {key: value for key, value in values.items() if value != 0.0}


def off_diagonal(values):
    return {key: value for key, value in values.items() if key[0] != key[1]}


def interactions(rng, users=300, items=120, rows=6000):
    """Unique pairs of users and items, popular ones more often, with a rating and a time in seconds."""
    weights = 1.0 / (np.arange(items) + 5.0)
    frame = pd.DataFrame({
        "user_id": rng.integers(1, users + 1, rows),
        "item_id": rng.choice(items, rows, p=weights / weights.sum()) + 1000,
        "rating": rng.integers(1, 6, rows).astype(float),
        "seconds": 1_700_000_000 + rng.integers(0, 200 * 86400, rows),
    }).drop_duplicates(["user_id", "item_id"]).reset_index(drop=True)
    frame["at"] = pd.to_datetime(frame["seconds"], unit="s")
    return frame


def matrix_of(frame):
    users, items = np.sort(frame.user_id.unique()), np.sort(frame.item_id.unique())
    at = (np.searchsorted(users, frame.user_id), np.searchsorted(items, frame.item_id))
    return sp.csr_matrix((frame.rating, at), shape=(len(users), len(items)), dtype=np.float64), users, items


# --- affinity ---------------------------------------------------------------------------------------------------------

def affinity(report, pipe, frame):
    from implicit.nearest_neighbours import bm25_weight, normalize, tfidf_weight
    from recommenders.models.sar import SAR
    from sklearn.preprocessing import normalize as sk_normalize

    plain = dict(input="raw.events", user="user_id", item="item_id", value="rating")
    project = Project(pipe)
    project.table("events", frame)
    project.step("decayed", "affinity", **plain, time="at", half_life="30d")
    project.step("tfidf", "affinity", **plain, transform="tfidf")
    project.step("bm25", "affinity", **plain, transform="bm25", k1=100, b=0.8)
    project.step("l2", "affinity", **plain, normalize="l2")
    project.step("l1", "affinity", **plain, normalize="l1")
    project.step("highest", "affinity", **plain, normalize="max")
    project.run()

    def ours(step):
        return nonzero(pairs(project.rows(step), ["user_id", "item_id"], "affinity"))

    model = SAR(col_user="user_id", col_item="item_id", col_rating="rating", col_timestamp="seconds",
                time_decay_coefficient=30, time_now=None, timedecay_formula=True)
    model.fit(frame[["user_id", "item_id", "rating", "seconds"]])
    theirs = cells(model.user_affinity, list(model.index2user.values()), list(model.index2item.values()))
    report.compare("recommenders SAR(timedecay_formula=True).user_affinity", ours("decayed"), theirs)
    matrix, users, items = matrix_of(frame)
    for step, call, theirs in [
        ("tfidf", "implicit tfidf_weight", tfidf_weight(matrix)),
        ("bm25", "implicit bm25_weight(K1=100, B=0.8)", bm25_weight(matrix, K1=100, B=0.8)),
        ("l2", "implicit normalize", normalize(matrix)),
        ("l2", "scikit-learn normalize(norm='l2')", sk_normalize(matrix, norm="l2")),
        ("l1", "scikit-learn normalize(norm='l1')", sk_normalize(matrix, norm="l1")),
        ("highest", "scikit-learn normalize(norm='max')", sk_normalize(matrix, norm="max")),
    ]:
        report.compare(call, ours(step), cells(theirs, users, items))


# --- similarity -------------------------------------------------------------------------------------------------------

SAR_TYPES = {
    "cooccurrence": "cooccurrence", "cosine": "cosine", "inclusion": "inclusion index", "jaccard": "jaccard",
    "lexicographers_mi": "lexicographers mutual information", "lift": "lift", "mutual_information": "mutual information",
}


def similarity(report, pipe, frame):
    from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender, normalize
    from recommenders.models.sar import SAR
    from recommenders.utils.python_utils import lexicographers_mutual_information
    from sparse_dot_topn import sp_matmul_topn

    top = 1000
    plain = dict(input="raw.events", user="user_id", item="item_id", top=top, prune="source")
    project = Project(pipe)
    project.table("events", frame)
    for metric in SAR_TYPES:
        project.step(f"sar_{metric}", "similarity", **plain, metric=metric)
    project.step("supported", "similarity", **plain, metric="jaccard", min_support=3)
    project.step("weighted", "similarity", **plain, value="rating", metric="cosine")
    project.step("tfidf", "similarity", **plain, value="rating", metric="cosine", weighting="tfidf")
    project.step("bm25", "similarity", **plain, value="rating", metric="inner_product", weighting="bm25")
    project.step("shrunk", "similarity", **plain, value="rating", metric="cosine", shrinkage=10)
    project.run()

    def ours(step):
        return nonzero(pairs(project.rows(step), ["item_id", "similar_item_id"], "score"))

    for metric, name in SAR_TYPES.items():
        model = SAR(col_user="user_id", col_item="item_id", col_rating="rating", col_timestamp="seconds", similarity_type=name)
        model.fit(frame[["user_id", "item_id", "rating"]])
        ids = list(model.index2item.values())
        found = np.asarray(sp.csr_matrix(model.item_similarity).todense())
        call = f"recommenders SAR(similarity_type={name!r})"
        if metric == "lexicographers_mi":
            # The model multiplies sparse matrices there instead of their cells: the function itself is right on arrays.
            users = sp.csr_matrix((np.ones(len(frame)), (frame.user_id, frame.item_id.map(model.item2index))))
            found = lexicographers_mutual_information((users.T @ users).toarray())
            call = "recommenders lexicographers_mutual_information(cooccurrence)"
        theirs = sp.csr_matrix(np.nan_to_num(found, neginf=0.0))
        report.compare(call, ours(f"sar_{metric}"), off_diagonal(cells(theirs, ids, ids)))
    model = SAR(col_user="user_id", col_item="item_id", col_rating="rating", col_timestamp="seconds", similarity_type="jaccard", threshold=3)
    model.fit(frame[["user_id", "item_id", "rating"]])
    ids = list(model.index2item.values())
    report.compare("recommenders SAR(similarity_type='jaccard', threshold=3)", ours("supported"),
                   off_diagonal(cells(model.item_similarity, ids, ids)))

    matrix, _, items = matrix_of(frame)
    for step, model in [
        ("weighted", CosineRecommender(K=top)), ("tfidf", TFIDFRecommender(K=top)), ("bm25", BM25Recommender(K=top)),
    ]:
        model.fit(matrix, show_progress=False)
        theirs = off_diagonal(cells(model.similarity, items, items))
        report.compare(f"implicit {type(model).__name__}.similarity", ours(step), theirs)
    normal = normalize(matrix.T.tocsr())
    theirs = sp_matmul_topn(normal, normal.T.tocsr(), top_n=top)
    report.compare("sparse_dot_topn sp_matmul_topn", ours("weighted"), off_diagonal(cells(theirs, items, items)))
    shrunk = recbole_similarity()(matrix, topk=top, shrink=10, normalize=True, method="item").compute_similarity()[1]
    report.compare("RecBole ComputeSimilarity(shrink=10, normalize=True)", ours("shrunk"),
                   off_diagonal(cells(shrunk, items, items)), SINGLE)


def recbole_similarity():
    """RecBole's class from its wheel, without torch, which that class does not use."""
    with tempfile.TemporaryDirectory() as folder:
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, "recbole==1.2.1"]
        subprocess.run(fetch, check=True)
        (wheel,) = Path(folder).glob("recbole-*.whl")
        source = zipfile.ZipFile(wheel).read("recbole/model/general_recommender/itemknn.py").decode()
    found = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == "ComputeSimilarity"]
    scope = {"np": np, "sp": sp}
    exec(compile(ast.Module(found, []), "itemknn.py", "exec"), scope)
    return scope["ComputeSimilarity"]


def vectors(report, pipe, rng):
    from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances, manhattan_distances

    values = rng.normal(size=(80, 24)).astype(np.float32)
    frame = pd.DataFrame({"item_id": np.arange(80), "embedding": [str(list(map(float, row))) for row in values]})
    project = Project(pipe)
    project.table("texts", frame)
    project.sql("items", "select item_id, parse_json(embedding)::array::vector(float, 24) as embedding from raw.texts")
    for metric in ("cosine", "inner_product", "l2", "l1"):
        project.step(metric, "similarity", input="items", of="vectors", item="item_id", vector="embedding", metric=metric, top=100)
    project.run()
    wide = values.astype(np.float64)
    ids = np.arange(80)
    for metric, call, theirs in [
        ("cosine", "scikit-learn cosine_similarity", cosine_similarity(wide)), ("inner_product", "numpy X @ X.T", wide @ wide.T),
        ("l2", "scikit-learn euclidean_distances", -euclidean_distances(wide)), ("l1", "scikit-learn manhattan_distances", -manhattan_distances(wide)),
    ]:
        ours = pairs(project.rows(metric), ["item_id", "similar_item_id"], "score")
        report.compare(call, ours, off_diagonal(cells(theirs, ids, ids)), "VECTOR is of 32-bit floats, and so are its sums")


WORDS = ("nuit police enquête Paris amour famille secret voyage ville été fille père mère école mort vie amis guerre "
         "the detective city night murder family love secret journey of l'hiver d'un qu'elle train 2049").split()


def texts(report, pipe, rng):
    from sklearn.feature_extraction.text import TfidfVectorizer

    synopses = [" ".join(rng.choice(WORDS, rng.integers(1, 25))) for _ in range(120)]
    frame = pd.DataFrame({"item_id": np.arange(120), "synopsis": synopses})
    project = Project(pipe)
    project.table("items", frame)
    plain = dict(input="raw.items", item="item_id", text="synopsis", min_df=3, max_df=0.5)
    project.step("alike", "similarity", **plain, of="texts", top=200)
    project.step("tags", "similarity", **plain, of="tags", top=10)
    project.run()
    vectorizer = TfidfVectorizer(min_df=3, max_df=0.5)
    weights = vectorizer.fit_transform(synopses)
    ids, terms = np.arange(120), vectorizer.get_feature_names_out()
    ours = nonzero(pairs(project.rows("alike"), ["item_id", "similar_item_id"], "score"))
    report.compare("scikit-learn TfidfVectorizer(min_df=3, max_df=0.5), cosine", ours, off_diagonal(cells(weights @ weights.T, ids, ids)))
    theirs = {}
    for item in ids:
        row = weights[item].tocoo()
        best = sorted(zip(-row.data.round(12), terms[row.col], row.data))[:10]
        theirs.update({(item, term): weight for _, term, weight in best})
    report.compare("scikit-learn TfidfVectorizer, ten terms of each text", pairs(project.rows("tags"), ["item_id", "term"], "weight"), theirs)


# --- train and recommend ----------------------------------------------------------------------------------------------

def models(report, pipe, frame):
    from recommenders.models.sar import SAR
    from rectools.dataset import Dataset
    from rectools.models import EASEModel

    plain = dict(user="user_id", item="item_id")
    project = Project(pipe)
    project.table("events", frame)
    project.step("ease", "train", input="raw.events", **plain, value="rating", regularization=250)
    project.step("liked", "affinity", input="raw.events", **plain, value="rating", time="at", half_life="30d")
    project.step("alike", "similarity", input="raw.events", **plain, metric="jaccard", include_self=True, top=1000)
    project.step("sar", "recommend", input="liked", **plain, value="affinity", model="alike", top=10)
    project.step("best", "recommend", input="raw.events", **plain, value="rating", model="ease", top=10)
    project.run()
    matrix, users, items = matrix_of(frame)
    inverse = np.linalg.inv((matrix.T @ matrix).toarray() + 250 * np.eye(len(items)))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    ours = pairs(project.rows("ease"), ["similar_item_id", "item_id"], "score")
    report.compare("EASE(lambda=250) of Steck 2019 in numpy, as RecBole and cornac", ours, cells(weights, items, items))
    renamed = frame.rename(columns={"rating": "weight", "at": "datetime"})[["user_id", "item_id", "weight", "datetime"]]
    model = EASEModel(regularization=250).fit(Dataset.construct(renamed))
    ids = Dataset.construct(renamed).item_id_map.convert_to_external(np.arange(len(items)))
    report.compare("RecTools EASEModel(regularization=250).weight", ours, cells(model.weight, ids, ids), SINGLE)
    scores = matrix @ weights
    scores[matrix.nonzero()] = -np.inf
    report.compare("numpy X @ B, ten best of each user", pairs(project.rows("best"), ["user_id", "item_id"], "score"), best(scores, users, items))

    model = SAR(col_user="user_id", col_item="item_id", col_rating="rating", col_timestamp="seconds",
                similarity_type="jaccard", time_decay_coefficient=30, timedecay_formula=True)
    model.fit(frame[["user_id", "item_id", "rating", "seconds"]])
    theirs = model.recommend_k_items(frame[["user_id"]].drop_duplicates(), top_k=10, remove_seen=True)
    theirs = theirs[theirs.prediction > 0]
    report.compare("recommenders SAR.recommend_k_items(top_k=10, remove_seen=True)",
                   pairs(project.rows("sar"), ["user_id", "item_id"], "score"), pairs(theirs, ["user_id", "item_id"], "prediction"))


def best(scores, users, items, top=10):
    found = {}
    for user, row in zip(users, scores):
        order = np.lexsort((items, -row))[:top]
        found.update({(user, items[at]): row[at] for at in order if row[at] > 0})
    return found


# --- evaluate ---------------------------------------------------------------------------------------------------------

def evaluate(report, pipe, frame, rng):
    from recommenders.evaluation import python_evaluation as ms
    from rectools import Columns
    from rectools.metrics import MAP, MRR, NDCG, AvgRecPopularity, HitRate, MeanInvUserFreq, Precision, Recall, Serendipity
    from rectools.metrics import IntraListDiversity

    held = frame.sample(frac=0.25, random_state=1)
    train = frame.drop(held.index)
    users, items = np.sort(held.user_id.unique()), np.sort(train.item_id.unique())
    known = train.groupby("user_id").item_id.apply(set)
    fresh = {user: [item for item in items if item not in known.get(user, ())] for user in users}
    lists = pd.concat([
        pd.DataFrame({"user_id": user, "item_id": rng.choice(fresh[user], 10, replace=False), "rank": np.arange(1, 11)}) for user in users
    ])
    codes = np.sort(frame.item_id.unique())
    likeness = np.triu(rng.random((len(codes), len(codes))), 1)
    likeness = likeness + likeness.T
    alike = pd.DataFrame([(a, b, likeness[i, j]) for i, a in enumerate(codes) for j, b in enumerate(codes) if i != j],
                         columns=["item_id", "similar_item_id", "score"])
    project = Project(pipe)
    project.table("lists", lists.copy())
    project.table("held", held[["user_id", "item_id"]].copy())
    project.table("train", train[["user_id", "item_id"]].copy())
    project.table("alike", alike)
    plain = dict(truth="raw.held", train="raw.train", user="user_id", item="item_id")
    project.step("scores", "evaluate", input="raw.lists", **plain, similarity="raw.alike", k=[5, 10])
    project.run()
    found = project.rows("scores")
    ours = {(metric, int(k)): value for metric, k, value in zip(found.metric, found.k, found.value)}

    for k in (5, 10):
        cut = lists[lists["rank"] <= k].assign(prediction=lambda x: 11.0 - x["rank"]).drop(columns="rank")
        named = dict(col_user="user_id", col_item="item_id", col_prediction="prediction", k=k)
        truth = held.assign(rating=1.0)
        calls = {
            "precision": lambda: ms.precision_at_k(truth, cut, col_rating="rating", **named),
            "recall": lambda: ms.recall_at_k(truth, cut, col_rating="rating", **named),
            "ndcg": lambda: ms.ndcg_at_k(truth, cut, col_rating="rating", **named),
            "map": lambda: ms.map(truth, cut, col_rating="rating", **named),
            "map_at_k": lambda: ms.map_at_k(truth, cut, col_rating="rating", **named),
            "catalog_coverage": lambda: ms.catalog_coverage(train, cut, col_user="user_id", col_item="item_id"),
            "distributional_coverage": lambda: ms.distributional_coverage(train, cut, col_user="user_id", col_item="item_id"),
            "novelty": lambda: ms.novelty(train, cut, col_user="user_id", col_item="item_id"),
        }
        for name, call in calls.items():
            report.compare(f"recommenders {name} (k={k})", {k: ours[name, k]}, {k: call()})

        reco, inter, before = (x.rename(columns={"rank": Columns.Rank}) for x in (lists, held, train))
        distance = Table(likeness, codes)
        metrics = {
            "precision": Precision(k), "recall": Recall(k), "map": MAP(k), "map_by_k": MAP(k, divide_by_k=True),
            "ndcg": NDCG(k, divide_by_achievable=True), "mrr": MRR(k), "hit_rate": HitRate(k),
        }
        for name, metric in metrics.items():
            report.compare(f"RecTools {type(metric).__name__} as {name} (k={k})", {k: ours[name, k]}, {k: metric.calc(reco, inter)})
        report.compare(f"RecTools MeanInvUserFreq (k={k})", {k: ours["inverse_user_frequency", k]}, {k: MeanInvUserFreq(k).calc(reco, before)})
        report.compare(f"RecTools AvgRecPopularity (k={k})", {k: ours["popularity", k]}, {k: AvgRecPopularity(k).calc(reco, before)})
        catalog = before.item_id.unique()
        report.compare(f"RecTools Serendipity (k={k})", {k: ours["serendipity", k]}, {k: Serendipity(k).calc(reco, inter, before, catalog)})
        report.compare(f"RecTools IntraListDiversity (k={k})", {k: ours["diversity", k]}, {k: IntraListDiversity(k, distance).calc(reco)})


class Table:
    """Distances between items from a table of similarities, as RecTools asks for them."""

    def __init__(self, likeness, items):
        self.likeness, self.items = likeness, items

    def __getitem__(self, pairs):
        left, right = (np.searchsorted(self.items, side) for side in pairs)
        return np.where(left == right, 0.0, 1.0 - self.likeness[left, right])


# --- rank -------------------------------------------------------------------------------------------------------------

def rank(report, pipe, rng):
    from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

    frame = pd.DataFrame({
        "id": np.arange(2000), "grp": rng.integers(0, 40, 2000), "a": rng.integers(0, 30, 2000).astype(float),
        "b": rng.normal(size=2000), "kind": rng.integers(0, 6, 2000),
    })
    project = Project(pipe)
    project.table("rows", frame)
    methods = {"row_number": "first", "rank": "min", "dense_rank": "dense", "max": "max", "average": "average"}
    for method in [*methods, "percent_rank", "cume_dist"]:
        project.step(f"m_{method}", "rank", input="raw.rows", partition_by="grp", score="a", tie_break="id", method=method)
    for normalize in ("minmax", "zscore", "robust", "l1", "l2", "softmax"):
        project.step(f"n_{normalize}", "rank", input="raw.rows", score=[{"column": "b", "normalize": normalize}])
    two = [{"column": "a", "weight": 2}, {"column": "b"}]
    project.step("rrf", "rank", input="raw.rows", partition_by="grp", score=two, combine="rrf")
    project.step("mmr", "rank", input="raw.rows", partition_by="grp", score="b", top=10, tie_break="id",
                 diversity={"method": "mmr", "lambda": 0.6, "attributes": "kind", "pool": 30})
    project.run()
    grouped = frame.sort_values("id").groupby("grp")["a"]
    for method, name in methods.items():
        theirs = dict(zip(frame.id, grouped.rank(method=name, ascending=False).reindex(frame.index)))
        report.compare(f"pandas groupby.rank(method={name!r})", pairs1(project.rows(f"m_{method}"), "rank"), theirs)
    least, most = grouped.rank(method="min", ascending=False), grouped.rank(method="max", ascending=False)
    size = grouped.transform("size")
    report.compare("SQL percent_rank in pandas", pairs1(project.rows("m_percent_rank"), "rank"), dict(zip(frame.id, (least - 1) / (size - 1))))
    report.compare("SQL cume_dist in pandas", pairs1(project.rows("m_cume_dist"), "rank"), dict(zip(frame.id, most / size)))
    column = frame[["b"]].to_numpy()
    power = np.exp(column - column.max())
    for normalize, call, theirs in [
        ("minmax", "scikit-learn MinMaxScaler", MinMaxScaler().fit_transform(column)),
        ("zscore", "scikit-learn StandardScaler", StandardScaler().fit_transform(column)),
        ("robust", "scikit-learn RobustScaler", RobustScaler().fit_transform(column)),
        ("l1", "numpy x / sum |x|", column / np.abs(column).sum()), ("l2", "numpy x / norm(x)", column / np.linalg.norm(column)),
        ("softmax", "numpy softmax", power / power.sum()),
    ]:
        report.compare(call, pairs1(project.rows(f"n_{normalize}"), "score"), dict(zip(frame.id, theirs[:, 0])))
    places = {c: frame.groupby("grp")[c].rank(method="min", ascending=False) for c in "ab"}
    report.compare("reciprocal rank fusion (k=60) in pandas", pairs1(project.rows("rrf"), "score"),
                   dict(zip(frame.id, 2 / (60 + places["a"]) + 1 / (60 + places["b"]))))
    report.compare("maximal marginal relevance in numpy, naive greedy", pairs1(project.rows("mmr"), "rank"), mmr(frame, 0.6, 10, 30))


def pairs1(frame, value):
    return dict(zip(frame.id, frame[value].astype(float)))


def mmr(frame, weight, top, pool):
    places = {}
    for _, rows in frame.groupby("grp"):
        rows = rows.sort_values(["b", "id"], ascending=[False, True]).head(max(pool, top))
        relevance = ((rows.b - rows.b.min()) / (rows.b.max() - rows.b.min())).to_numpy()
        kinds, ids, chosen = rows.kind.to_numpy(), rows.id.to_numpy(), []
        while len(chosen) < min(top, len(rows)):
            def value(at):
                near = max((float(kinds[at] == kinds[other]) for other in chosen), default=0.0)
                return weight * relevance[at] - (1 - weight) * near if chosen else relevance[at]
            left = [at for at in range(len(rows)) if at not in chosen]
            chosen.append(max(left, key=value))
            places[ids[chosen[-1]]] = float(len(chosen))
    return places


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pipe", default="target/debug/pipe")
    pipe = str(Path(parser.parse_args().pipe).resolve())
    report, rng = Report(), np.random.default_rng(7)
    frame = interactions(rng)
    print(f"{'call':66} {'values':>7} {'greatest relative difference':>9}")
    affinity(report, pipe, frame.copy())
    similarity(report, pipe, frame.copy())
    vectors(report, pipe, rng)
    texts(report, pipe, rng)
    models(report, pipe, frame.copy())
    evaluate(report, pipe, frame.copy(), rng)
    rank(report, pipe, rng)
    sys.exit(1 if report.failed else 0)


main()
