#!/usr/bin/env python3
"""Fetches MovieLens-100k and maps it onto the domain's tables, as the sources of the target `movielens`.

usage: python3 tests/real/movielens.py        then: pipe run pipelines/this_week.yaml --target movielens

The data comes from the PyPI wheel recbole 1.2.1 (recbole/dataset_example/ml-100k with its knowledge-graph triples) and
is written to tests/real/movielens/, which git ignores: its licence forbids handing it on. What MovieLens has is used
as it is; what a broadcaster adds (channels, a schedule, episodes) is made up by a fixed rule. The mapping:

- a rating is a watch at its time, as long a share of the film as stars out of five; five stars are also a bookmark;
- the mean rating of a film is its AlloCiné spectators' rating; its genres are its audiences;
- actors and directors of the triples are people; a user follows who stands behind three or more of his five-star films;
- every film with 20 ratings or more is broadcast once in the seven days from DAY, films in turn over eight channels.
"""
import csv
import json
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter, defaultdict
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path

DAY = date(1998, 4, 23)  # the day after the newest rating; pipe.yaml pins it for the target
HERE = Path(__file__).parent
OUT = HERE / "movielens"
FILM_SECONDS = 100 * 60
CHANNELS = 8


def fetch(folder):
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, "recbole==1.2.1"], check=True)
    (wheel,) = Path(folder).glob("recbole-*.whl")
    files = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in ("inter", "item", "user", "kg", "link"):
            text = archive.read(f"recbole/dataset_example/ml-100k/ml-100k.{name}").decode("utf-8")
            files[name] = [line.split("\t") for line in text.splitlines()[1:]]
    return files


def write(table, header, rows):
    path = OUT / (table.replace(".", "/") + ".csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = list(rows)
    with open(path, "w", newline="", encoding="utf-8") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(header.split())
        out.writerows(rows)
    print(f"{len(rows):7d} rows  {table}")


def stamp(t):
    return t.strftime("%Y-%m-%d %H:%M:%S")


def main():
    with tempfile.TemporaryDirectory() as folder:
        data = fetch(folder)
    ratings = [(int(u), int(i), int(float(r)), datetime.fromtimestamp(float(t), timezone.utc)) for u, i, r, t in data["inter"]]
    films = {int(i): (title, year, genres.split()) for i, title, year, genres in data["item"]}
    count, total = Counter(), Counter()
    for _, film, stars, _ in ratings:
        count[film] += 1
        total[film] += stars

    write("backend.user", "id email birth_date gender country consent_partner_export created_at",
          [(int(u), f"user{u}@example.com", DAY - timedelta(days=365 * int(age)), gender, "US", "true", "1997-09-01 00:00:00") for u, age, gender, _, _ in data["user"]])
    write("backend.program", "id title synopsis ref_program_category_id ref_program_kind_id duration year",
          [(i, title, "", 8 if "Documentary" in genres else 1, 1, FILM_SECONDS, year if year.isdigit() else "") for i, (title, year, genres) in films.items()])
    write("backend.episode", "id program_id title season number duration", [(100000 + i, i, "", "", "", FILM_SECONDS) for i in films])
    write("backend.channel", "id name display_name", [(c, f"channel{c}", f"Channel {c}") for c in range(1, CHANNELS + 1)])
    write("backend.tvbundle", "id name is_commercialized", [(25, "Free", 1)])
    write("backend.rel_tvbundle_channel", "tvbundle_id channel_id", [(25, c) for c in range(1, CHANNELS + 1)])

    on_air = sorted(i for i in films if count[i] >= 20)
    slots = -(-len(on_air) // CHANNELS)
    gap = timedelta(days=7) / slots
    midnight = datetime.combine(DAY, time(0))
    schedule = [(i, midnight + (n // CHANNELS) * gap, 1 + n % CHANNELS) for n, i in enumerate(on_air)]
    write("backend.broadcast", "program_id episode_id channel_id start_at end_at",
          [(i, 100000 + i, c, stamp(at), stamp(at + timedelta(seconds=FILM_SECONDS))) for i, at, c in schedule])
    write("backend.vod", "episode_id channel_id video_type disabled available_from available_until withdrawn_at deleted_at",
          [(100000 + i, 1 + i % CHANNELS, "REPLAY", 0, stamp(midnight - timedelta(days=6)), stamp(midnight + timedelta(days=6)), "", "") for i in films if i % 3 == 0])
    write("backend.scheduled_recording", "user_id program_id episode_id scheduled_at",
          [(u, i, 100000 + i, stamp(at)) for u, i, stars, at in ratings if stars == 5])

    entity = {e: int(i) for i, e in data["link"]}
    credits = {}
    for head, relation, tail in data["kg"]:
        role = {"film.film.actor": "actor", "film.film.directed_by": "director"}.get(relation)
        if role and head in entity:
            credits.setdefault((entity[head], tail), role)
    person = {p: 1 + n for n, p in enumerate(sorted({p for _, p in credits}))}
    cast = defaultdict(list)
    for film, p in credits:
        cast[film].append(person[p])
    behind = Counter((u, p) for u, i, stars, _ in ratings if stars == 5 for p in cast[i])
    write("backend.person", "id first_name last_name source", [(n, "", p, "molotov") for p, n in person.items()])
    write("backend.rel_program_person", "program_id person_id role", sorted((i, person[p], role) for (i, p), role in credits.items()))
    write("backend.rel_episode_person", "episode_id person_id role", [])
    write("backend.user_follow_person", "user_id person_id followed_at", sorted((u, p, stamp(midnight - timedelta(days=1))) for (u, p), n in behind.items() if n >= 3))

    write("backend.program_rating", "program_id program_rating_services_id program_rating_type_id rating",
          [(i, 2, 2, round(total[i] / count[i], 3)) for i in sorted(films) if count[i] >= 20])
    write("external_sources.daily_prog_affinity", "program_id affinity", [(i, g) for i, (_, _, genres) in films.items() for g in dict.fromkeys(genres)])
    write("dw.fact_watch", "user_id program_id episode_id channel_id asset_type device_type real_start_at duration date_day",
          [(u, i, 100000 + i, 1 + i % CHANNELS, "replay" if i % 3 == 0 else "live", "tv", stamp(at), FILM_SECONDS * stars // 5, at.date())
           for u, i, stars, at in sorted(ratings, key=lambda r: (r[3], r[0], r[1]))])
    best = sorted(on_air, key=lambda i: -total[i])[:40]
    default = [{"EPISODE_ID": 100000 + i, "PROGRAM_ID": i, "reco_origin": "top_replay", "rating": total[i]} for i in best]
    write("ml.user_replay_recommendations_latest", "user_id recommendations update_date", [(0, json.dumps(default), DAY - timedelta(days=1))])


main()
