#!/usr/bin/env python3
"""Writes the sample warehouse: every table the jobs read, as CSV, made up but lifelike, the same bytes on every run.

usage: python3 samples/generate.py [FOLDER]        (default: the folder of this script)

All times are relative to DAY, the date that the `local` target of pipe.yaml pins. What is dirty is so on purpose:
users without e-mail, e-mails in mixed case with spaces, missing synopses, duplicate bookmarks, watches of zero seconds
and of a whole day, programmes without an audience, ratings that tie, replays withdrawn or disabled.
"""
import csv
import json
import math
import random
import re
import sys
from collections import Counter
from datetime import date, datetime, time, timedelta
from pathlib import Path

DAY = date(2026, 11, 2)  # a Monday
USERS = 2400
rng = random.Random(20261102)

CATEGORIES = {  # ref_program_category_id: (share of programmes, affinity, kinds, minutes)
    1: (0.30, "Cinéma", [1, 2, 3], (84, 150)),
    2: (0.24, "Séries", [10, 11, 12], (40, 55)),
    3: (0.10, "Divertissement", [20, 21], (50, 120)),
    4: (0.09, "Information", [36, 43, 40], (15, 60)),
    5: (0.08, "Sport", [50, 51], (90, 130)),
    6: (0.10, "Jeunesse", [60, 61], (12, 28)),
    8: (0.09, "Documentaire", [80, 81], (50, 95)),
}

THEMES = {
    "polar": dict(
        titles=["Le Silence de {lieu}", "Meurtres à {lieu}", "L'Ombre du {nom}", "Affaire {nom}", "Nuit noire à {lieu}"],
        sentences=[
            "La capitaine {qui} enquête sur un meurtre commis près de {lieu}.",
            "Un témoin disparaît et le commissariat soupçonne un ancien policier.",
            "L'enquête révèle un réseau de faux témoins et de juges corrompus.",
            "Deux inspecteurs que tout oppose doivent résoudre une série de crimes.",
        ],
    ),
    "comedie": dict(
        titles=["Les Vacances de {qui}", "Un mariage à {lieu}", "Mon voisin {nom}", "{qui} fait des siennes", "Belle-famille et Cie"],
        sentences=[
            "{qui} invite toute sa famille pour un mariage qui tourne à la catastrophe.",
            "Une comédie tendre sur l'amitié, les vacances et les belles-mères.",
            "Rien ne se passe comme prévu lorsque le voisin s'en mêle.",
            "Un héritage inattendu réunit trois frères fâchés depuis dix ans.",
        ],
    ),
    "romance": dict(
        titles=["Un printemps à {lieu}", "Lettres à {qui}", "Le Bal de {lieu}", "Aimer encore", "La Promesse de {qui}"],
        sentences=[
            "{qui} retrouve son premier amour dans la petite ville de {lieu}.",
            "Une lettre oubliée bouleverse la vie d'une libraire solitaire.",
            "Ils s'aiment, mais la guerre les sépare au matin de leurs fiançailles.",
        ],
    ),
    "sf": dict(
        titles=["Station {nom}", "Les Enfants d'Orion", "Dernier signal", "Planète {nom}", "Horizon 2187"],
        sentences=[
            "L'équipage de la station {nom} reçoit un signal venu d'une planète inconnue.",
            "Un robot s'éveille et découvre que la Terre a été abandonnée.",
            "Pour sauver la colonie, {qui} doit traverser un trou noir.",
            "Le voyage dans l'espace change à jamais le vaisseau et ses passagers.",
        ],
    ),
    "histoire": dict(
        titles=["Les Secrets de {lieu}", "Au temps des rois", "Bâtisseurs de {lieu}", "La Grande Traversée", "Versailles intime"],
        sentences=[
            "Historiens et archéologues explorent les ruines de {lieu}.",
            "Comment les rois de France ont bâti châteaux et jardins.",
            "Des archives inédites racontent la vie quotidienne pendant la guerre.",
        ],
    ),
    "nature": dict(
        titles=["Sauvage {lieu}", "Le Peuple des forêts", "Océans perdus", "Les Géants de la savane", "Au pays des ours"],
        sentences=[
            "Une plongée parmi les baleines, les requins et les récifs de corail.",
            "Les loups reviennent dans les forêts de {lieu} après un siècle d'absence.",
            "Au fil des saisons, les animaux de la savane affrontent la sécheresse.",
            "Le changement climatique menace les ours et la banquise.",
        ],
    ),
    "foot": dict(
        titles=["Ligue {nom} : {lieu} - {lieu2}", "Coupe {nom} : {lieu} - {lieu2}", "Le Mag du foot"],
        sentences=[
            "Match décisif pour la tête du championnat entre {lieu} et {lieu2}.",
            "Buts, ralentis et analyses d'après match avec nos consultants.",
            "Le gardien et les attaquants retrouvent leur stade après la trêve.",
        ],
    ),
    "rugby": dict(
        titles=["Rugby : {lieu} - {lieu2}", "Rugby : le mag"],
        sentences=[
            "Mêlées, essais et transformations : {lieu} reçoit {lieu2}.",
            "Le quinze de {lieu} joue sa place en phase finale.",
        ],
    ),
    "tennis": dict(
        titles=["Tennis : open de {lieu}", "Tennis : finale de {lieu}"],
        sentences=[
            "Les favoris du tournoi entrent en lice sur le court central.",
            "Un cinquième set pour une place en finale du tournoi de {lieu}.",
        ],
    ),
    "cyclisme": dict(
        titles=["Cyclisme : tour de {lieu}", "Cyclisme : {lieu} - {lieu2}"],
        sentences=[
            "Étape de montagne : trois cols et une arrivée au sommet.",
            "Échappées, sprint massif et maillot de leader sur les routes de {lieu}.",
        ],
    ),
    "jeunesse": dict(
        titles=["Les Aventures de {qui}", "{qui} et le dragon", "Super {nom}", "L'École des sorciers", "Petit Ours et ses amis"],
        sentences=[
            "{qui} et ses amis partent à la recherche d'un trésor caché.",
            "Un petit dragon apprend à voler à l'école de magie.",
            "Chansons, devinettes et amitié pour les plus petits.",
            "Le lapin Filou prépare une surprise pour l'anniversaire de l'ours.",
        ],
    ),
    "cuisine": dict(
        titles=["Chefs à {lieu}", "La Meilleure Pâtisserie", "Cuisine d'ici", "Le Grand Buffet de {qui}", "À table !"],
        sentences=[
            "Douze candidats s'affrontent aux fourneaux devant un jury de chefs.",
            "Recettes de saison : gâteaux, tartes et desserts de nos régions.",
            "{qui} part à la rencontre des producteurs de {lieu}.",
        ],
    ),
    "musique": dict(
        titles=["Le Grand Concert de {lieu}", "Tubes en fête", "La Voix de {qui}", "Nuits du jazz", "Chansons d'une vie"],
        sentences=[
            "Chanteurs et musiciens reprennent les plus grands tubes sur scène.",
            "Un concert exceptionnel enregistré à {lieu} avec orchestre symphonique.",
            "Les coulisses d'une tournée, de la première répétition au dernier rappel.",
        ],
    ),
    "info": dict(
        titles=["Le Journal de {heure}", "{lieu} Info", "Le Grand Débat", "Matinale", "L'Édition de {heure}"],
        sentences=[
            "L'actualité nationale et internationale, présentée par la rédaction.",
            "Invités politiques, reportages et météo du jour.",
            "Débat et décryptage de l'actualité économique.",
        ],
    ),
    "english": dict(
        titles=["The {nom} Case", "Harbour Lights", "Return to {lieu}", "Silent Witness of {lieu}", "Kings of the Road"],
        sentences=[
            "A young detective returns home and finds that her father has been lying for years.",
            "Two brothers cross the country in a stolen car, chased by the police.",
            "An old sailor and a runaway girl share one last journey across the sea.",
        ],
    ),
}

THEMES_OF = {
    1: ["polar", "comedie", "romance", "sf", "histoire", "english"],
    2: ["polar", "comedie", "romance", "sf", "english"],
    3: ["cuisine", "musique", "comedie"],
    4: ["info"],
    5: ["foot", "foot", "rugby", "tennis", "cyclisme"],
    6: ["jeunesse"],
    8: ["nature", "histoire", "cuisine"],
}
LIEUX = "Saint-Malo,Annecy,Colmar,Bayonne,Nîmes,Rouen,Étretat,Cassis,Arles,Dinan,Honfleur,Vannes,Albi,Pau,Sète".split(",")
NOMS = "Delorme,Kessler,Morvan,Altaïr,Vasseur,Lindqvist,Castaing,Orsini,Béranger,Néva,Talbot,Rocher".split(",")
PRENOMS = (
    "Alice,Camille,Jeanne,Louise,Inès,Manon,Zoé,Léa,Sarah,Nadia,Clara,Élise,Hugo,Louis,Jules,Adam,Paul,Victor,Samir,"
    "Noé,Marius,Théo,Gabriel,Antoine,Maxime,Karim,Étienne,Bruno,Sofia,Agathe"
).split(",")
FAMILLES = (
    "Marchand,Lefort,Dumas,Garnier,Rossi,Benali,Keller,Fontaine,Leroux,Mercier,Picard,Renard,Vidal,Chevalier,Masson,"
    "Perrot,Colin,Aubry,Royer,Gaillard,Barre,Tessier,Lambert,Moulin,Carré,Delmas,Poirier,Hamel,Jacquet,Weber"
).split(",")
CHANNELS = [  # name, display name, main categories, in the free offer
    ("une", "La Une", [1, 2, 3, 4], True), ("deux", "Deux Plus", [1, 2, 4, 8], True), ("trois", "Trois Régions", [4, 8, 2], True),
    ("quatre", "Quatre Ciné", [1], False), ("cinq", "Cinq Savoirs", [8], True), ("six", "Six Séries", [2, 3], True),
    ("seven", "Seven", [3, 1], True), ("huit", "Huit", [1, 2], True), ("neo", "Néo", [2, 3], True), ("tvsport", "TV Sport", [5], False),
    ("foot", "100 % Foot", [5], False), ("gym", "Stade", [5], True), ("minimo", "Minimo", [6], True), ("bambin", "Bambin TV", [6], False),
    ("infodirect", "Info Direct", [4], True), ("monde", "Monde 24", [4], False), ("terra", "Terra", [8], True), ("chronos", "Chronos Histoire", [8], False),
    ("classic", "Ciné Classique", [1], True), ("frisson", "Frisson", [1, 2], False), ("melodie", "Mélodie", [3], True), ("saveurs", "Saveurs", [3], False),
    ("mango", "Mango", [1, 2], False), ("regard", "Regard", [1, 8], True),
]
FREE, PAID = [25, 90, 26, 31, 60], [12, 40, 77]


def stamp(t):
    return t.strftime("%Y-%m-%d %H:%M:%S")


def weighted(items, weights):
    return rng.choices(items, weights)[0]


def zipf(n, s=0.9, q=2.7):
    return [1 / (i + 1 + q) ** s for i in range(n)]


class Warehouse:
    def __init__(self, folder):
        self.folder, self.sizes = Path(folder), {}

    def write(self, table, header, rows):
        path = self.folder / (table.replace(".", "/") + ".csv")
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", newline="", encoding="utf-8") as f:
            out = csv.writer(f, lineterminator="\n")
            out.writerow(header.split())
            out.writerows(["" if v is None else v for v in row] for row in rows)
        self.sizes[table] = (len(rows), path.stat().st_size)


def fill(text):
    lieu, lieu2 = rng.sample(LIEUX, 2)
    heure = rng.choice(["8 h", "13 h", "20 h", "23 h"])
    text = text.format(lieu=lieu, lieu2=lieu2, nom=rng.choice(NOMS), qui=rng.choice(PRENOMS), heure=heure)
    return re.sub(r"\b([Dd])[eu] (?=[AEÉIOU])", r"\1'", text)


def make_programs():
    programs, seen = [], set()
    for category, (share, affinity, kinds, minutes) in CATEGORIES.items():
        for _ in range(round(share * 340)):
            theme = rng.choice(THEMES_OF[category])
            title = fill(rng.choice(THEMES[theme]["titles"]))
            while title in seen and rng.random() < 0.97:  # a few programmes do share a title
                title = fill(rng.choice(THEMES[theme]["titles"]))
            seen.add(title)
            k = min(len(THEMES[theme]["sentences"]), rng.choice([2, 2, 3]))
            synopsis = " ".join(map(fill, rng.sample(THEMES[theme]["sentences"], k)))
            programs.append(dict(
                title=title, synopsis=None if rng.random() < 0.06 else synopsis, category=category, theme=theme,
                kind=rng.choice(kinds), minutes=rng.randint(*minutes), affinity=affinity,
                year=None if category in (4, 5) else rng.randint(1958, 2026),
            ))
    rng.shuffle(programs)
    for i, (p, w) in enumerate(zip(programs, zipf(len(programs)))):
        p["id"], p["popularity"] = 1001 + i, w * rng.lognormvariate(0, 0.5)
    return programs


def make_episodes(programs):
    episodes = []
    for p in programs:
        count = {2: rng.randint(4, 12), 6: rng.randint(4, 10), 3: rng.randint(1, 4), 8: rng.randint(1, 3)}.get(p["category"], 1)
        p["episodes"] = []
        for n in range(count):
            serial = count > 1
            e = dict(
                id=50001 + len(episodes), program=p, season=1 + n // 8 if serial else None, number=1 + n % 8 if serial else None,
                title=f"Épisode {n + 1}" if serial and rng.random() < 0.8 else None,
                seconds=60 * p["minutes"] + rng.randint(-90, 240),
            )
            p["episodes"].append(e)
            episodes.append(e)
    return episodes


def make_broadcasts(programs):
    rows = []
    by_category = {c: [p for p in programs if p["category"] == c] for c in CATEGORIES}
    for channel_id, (_, _, categories, _) in enumerate(CHANNELS, 1):
        for offset in range(-14, 8):
            at = datetime.combine(DAY + timedelta(days=offset), time(6))
            end_of_day = at + timedelta(hours=20)
            while at < end_of_day:
                category = 4 if len(categories) > 1 and at.hour in (8, 13, 20) and 4 in categories else rng.choice(categories)
                pool = by_category[category]
                p = weighted(pool, [q["popularity"] for q in pool])
                e = rng.choice(p["episodes"])
                length = timedelta(minutes=5 * math.ceil(p["minutes"] * 1.08 / 5))
                named = e["id"] if len(p["episodes"]) > 1 or rng.random() < 0.7 else None
                rows.append(dict(program=p, episode=e, named=named, channel=channel_id, start=at, end=at + length))
                at += length
    return rows


def make_watches(users, programs, broadcasts, vods):
    past = [b for b in broadcasts if b["end"] < datetime.combine(DAY, time(5))]
    prime = [b["program"]["popularity"] * (4 if 19 <= b["start"].hour <= 22 else 1) for b in past]
    weight_of = {}
    rows = []
    for user in users:
        if user["new"]:
            continue
        for _ in range(min(120, int(rng.lognormvariate(1.9, 0.9)))):
            kind = weighted(["live", "replay", "recording", "vod"], [64, 22, 8, 6])
            if kind == "live":
                key = user["taste"]
                if key not in weight_of:
                    total, acc = 0.0, []
                    for b, w in zip(past, prime):
                        total += w * (5 if b["program"]["affinity"] == key else 1)
                        acc.append(total)
                    weight_of[key] = acc
                b = rng.choices(past, cum_weights=weight_of[key])[0]
                begin = b["start"] + timedelta(seconds=rng.randint(-120, 1500))
                longest = max(30, (b["end"] - begin).total_seconds())
                e, named, channel = b["episode"], b["named"], b["channel"]
            else:
                v = rng.choice(vods)
                if rng.random() < 0.5:  # tastes hold on replay too
                    mine = [w for w in rng.sample(vods, 12) if w["episode"]["program"]["affinity"] == user["taste"]]
                    v = mine[0] if mine else v
                first = max(v["from"], datetime.combine(DAY - timedelta(days=14), time(0)))
                room = (datetime.combine(DAY, time(4)) - first).total_seconds()
                if room <= 0:
                    continue
                begin = first + timedelta(seconds=rng.randint(0, int(room)))
                e, named, channel, longest = v["episode"], v["episode"]["id"], v["channel"], v["episode"]["seconds"]
            share = rng.betavariate(0.8, 0.7)
            seconds = int(max(0, min(longest, e["seconds"] * 1.1) * share))
            if rng.random() < 0.004:
                seconds = rng.choice([0, 86400])  # dirty: a closed and a forgotten player
            device = weighted(["tv", "mobile", "web", "tablet"], [55, 22, 14, 9])
            rows.append((user["id"], e["program"]["id"], named, channel, kind, device, begin, seconds))
    rows.sort(key=lambda r: (r[6], r[0]))
    return rows


def make_vods(broadcasts):
    rows, seen = [], set()
    for b in broadcasts:
        old = (DAY - b["start"].date()).days
        if not 0 < old <= 9 or b["program"]["category"] == 5 or rng.random() < 0.25:
            continue
        key = (b["episode"]["id"], b["channel"])
        if key in seen:
            continue
        seen.add(key)
        rows.append(dict(episode=b["episode"], channel=b["channel"], type="REPLAY", start=b["end"], **{"from": b["end"]},
                         until=b["end"] + timedelta(days=7 if b["program"]["category"] in (1, 2, 8) else 4)))
    mango = next(i for i, c in enumerate(CHANNELS, 1) if c[0] == "mango")
    films = [b["episode"] for b in broadcasts if b["program"]["category"] in (1, 2)]
    for e in {e["id"]: e for e in films}.values():
        if rng.random() < 0.3:
            rows.append(dict(episode=e, channel=mango, type="VOD", start=None, until=datetime.combine(DAY + timedelta(days=200), time(0)),
                             **{"from": datetime.combine(DAY - timedelta(days=120), time(0))}))
    for v in rows:
        v["disabled"] = int(rng.random() < 0.03)
        v["withdrawn"] = v["from"] + timedelta(days=1) if rng.random() < 0.03 else None
        v["deleted"] = v["from"] + timedelta(days=2) if rng.random() < 0.02 else None
    return rows


def make_people(programs):
    names = [(a, b) for a in PRENOMS for b in FAMILLES]
    people = [dict(id=7001 + i, name=n, source="molotov" if rng.random() < 0.88 else "imported") for i, n in enumerate(rng.sample(names, 420))]
    weights = zipf(len(people), 0.8)
    for person, w in zip(people, weights):
        person["fame"] = w
    credits, episode_credits = set(), set()
    for p in programs:
        for _ in range({1: 6, 2: 5, 3: 2, 4: 1, 5: 1, 6: 1, 8: 1}[p["category"]]):
            credits.add((p["id"], weighted(people, weights)["id"], rng.choice(["acteur", "acteur", "acteur", "réalisateur", "présentateur", ""])))
        for e in p["episodes"]:
            if rng.random() < 0.25:
                episode_credits.add((e["id"], weighted(people, weights)["id"], rng.choice(["invité", "acteur", ""])))
    return people, weights, sorted(credits), sorted(episode_credits)


def make_users():
    users = []
    for i in range(1, USERS + 1):
        first, last = rng.choice(PRENOMS), rng.choice(FAMILLES)
        email = f"{first}.{last}{i}@example.com"
        if rng.random() < 0.1:
            email = f"  {email.upper()} "
        users.append(dict(
            id=i, email=None if rng.random() < 0.05 else email, gender=rng.choice(["F", "M", None]),
            birth=None if rng.random() < 0.15 else DAY - timedelta(days=rng.randint(16 * 365, 85 * 365)),
            country=weighted(["FR", "BE", "CH"], [92, 5, 3]), consent="true" if rng.random() < 0.6 else "false",
            created=datetime.combine(DAY, time(0)) - timedelta(seconds=rng.randint(3600, 900 * 86400)),
            taste=weighted([c[1] for c in CATEGORIES.values()], [26, 24, 12, 12, 12, 7, 7]), new=rng.random() < 0.12,
        ))
    return users


def recommendations(vods):
    """Yesterday's replay lists: the default list (user 0) and those of five users, in the shape the product reads."""
    midnight = datetime.combine(DAY, time(0))
    free = [v for v in vods if v["type"] == "REPLAY" and v["until"] >= midnight and not (v["disabled"] or v["withdrawn"] or v["deleted"])]
    rows = []
    for user in (0, 3, 8, 21, 34, 55):
        chosen = rng.sample(free, 25) if user else sorted(free, key=lambda v: -v["episode"]["program"]["popularity"])[:90]
        of_program, ids, items = Counter(), set(), []
        for v in chosen:
            program = v["episode"]["program"]["id"]
            if v["episode"]["id"] in ids or of_program[program] == 2:
                continue
            ids.add(v["episode"]["id"])
            of_program[program] += 1
            rating = round(rng.uniform(1, 100), 2)
            # The product has written the rating as a text now and then.
            items.append({"EPISODE_ID": v["episode"]["id"], "PROGRAM_ID": program,
                          "reco_origin": rng.choice(["top_replay", "affinity", "similar"]), "rating": str(rating) if rng.random() < 0.1 else rating})
        rows.append((user, json.dumps(items, separators=(",", ":")), DAY - timedelta(days=1)))
    return rows


def write_incoming(folder, programs):
    """What partners leave: rights as CSV, one row of which cannot be read, and other services' names as Parquet."""
    dice = random.Random(7)  # of its own, so that the warehouse does not depend on it
    rows = [(p["id"], country, DAY - timedelta(days=dice.randint(0, 300)), DAY + timedelta(days=dice.randint(0, 600)),
             dice.choice(["", 7, 30]), dice.choice(["", f"{dice.randint(50, 9000) / 10:.2f}"]))
            for p in programs for country in ("FR", "BE") if dice.random() < 0.6]
    rows[17] = (*rows[17][:3], "31/12/2027", *rows[17][4:])
    (folder / "rights").mkdir(parents=True, exist_ok=True)
    for name, part in (("part-1.csv", rows[:200]), ("part-2.csv", rows[200:])):
        with open(folder / "rights" / name, "w", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            out.writerows([("program_id", "country", "starts_on", "ends_on", "replay_days", "price"), *part])
    ids = [(p["id"], service, f"{prefix}{dice.randint(10**6, 10**7)}", stamp(datetime.combine(DAY, time(dice.randint(0, 5)))))
           for p in programs for service, prefix in (("imdb", "tt"), ("isan", "0000-")) if dice.random() < 0.5]
    try:
        import duckdb
    except ImportError:
        return  # the Parquet file stays as it is
    (folder / "external_ids").mkdir(parents=True, exist_ok=True)
    db = duckdb.connect()
    db.execute("create table ids (program_id bigint, service varchar, external_id varchar, matched_at timestamp)")
    db.executemany("insert into ids values (?, ?, ?, ?)", ids)
    db.execute(f"copy ids to '{folder / 'external_ids' / 'ids.parquet'}' (format parquet)")


def main():
    out = Warehouse(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
    programs = make_programs()
    episodes = make_episodes(programs)
    broadcasts = make_broadcasts(programs)
    vods = make_vods(broadcasts)
    people, fame, credits, episode_credits = make_people(programs)
    users = make_users()
    watches = make_watches(users, programs, broadcasts, vods)

    out.write("backend.user", "id email birth_date gender country consent_partner_export created_at",
              [(u["id"], u["email"], u["birth"], u["gender"], u["country"], u["consent"], stamp(u["created"])) for u in users])
    out.write("backend.program", "id title synopsis ref_program_category_id ref_program_kind_id duration year",
              [(p["id"], p["title"], p["synopsis"], p["category"], p["kind"], None if rng.random() < 0.05 else 60 * p["minutes"], p["year"]) for p in programs])
    out.write("backend.episode", "id program_id title season number duration",
              [(e["id"], e["program"]["id"], e["title"], e["season"], e["number"], e["seconds"]) for e in episodes])
    out.write("backend.channel", "id name display_name", [(i, c[0], c[1]) for i, c in enumerate(CHANNELS, 1)])
    out.write("backend.tvbundle", "id name is_commercialized",
              [(b, f"Offre gratuite {i}", 1) for i, b in enumerate(FREE, 1)] + [(12, "Plus", 1), (40, "Extra", 1), (77, "Ancienne offre", 0)])
    bundles = set()
    for i, c in enumerate(CHANNELS, 1):
        bundles |= {(rng.choice(FREE), i), (rng.choice(FREE), i)} if c[3] else set()
        bundles |= {(b, i) for b in PAID if rng.random() < (0.3 if c[3] else 0.7)}
    out.write("backend.rel_tvbundle_channel", "tvbundle_id channel_id", sorted(bundles))
    out.write("backend.broadcast", "program_id episode_id channel_id start_at end_at",
              [(b["program"]["id"], b["named"], b["channel"], stamp(b["start"]), stamp(b["end"])) for b in broadcasts])
    out.write("backend.vod", "episode_id channel_id video_type disabled available_from available_until withdrawn_at deleted_at",
              [(v["episode"]["id"], v["channel"], v["type"], v["disabled"], stamp(v["from"]), stamp(v["until"]),
                v["withdrawn"] and stamp(v["withdrawn"]), v["deleted"] and stamp(v["deleted"])) for v in vods])

    upcoming = [b for b in broadcasts if b["start"].date() >= DAY - timedelta(days=12)]
    weights = [b["program"]["popularity"] for b in upcoming]
    bookmarks = []
    for _ in range(6500):
        b, u = weighted(upcoming, weights), rng.choice(users)
        when = min(b["start"] - timedelta(seconds=rng.randint(600, 9 * 86400)), datetime.combine(DAY, time(3)))
        bookmarks.append((u["id"], b["program"]["id"], b["named"], stamp(when)))
    bookmarks += rng.sample(bookmarks, 90)  # dirty: the same bookmark twice
    out.write("backend.scheduled_recording", "user_id program_id episode_id scheduled_at", sorted(bookmarks, key=lambda r: (r[3], r[0], r[1])))

    out.write("backend.person", "id first_name last_name source", [(p["id"], *p["name"], p["source"]) for p in people])
    follows = {}
    for u in users:
        for person in rng.choices(people, fame, k=min(20, int(rng.lognormvariate(0.2, 1.0)))):
            follows[(u["id"], person["id"])] = stamp(u["created"] + timedelta(seconds=rng.randint(60, 3000)))
    out.write("backend.user_follow_person", "user_id person_id followed_at", sorted((*k, v) for k, v in follows.items()))
    out.write("backend.rel_program_person", "program_id person_id role", credits)
    out.write("backend.rel_episode_person", "episode_id person_id role", episode_credits)

    ratings = []
    for p in programs:
        if p["category"] in (1, 2, 8) and rng.random() < 0.8:
            ratings.append((p["id"], 2, 2, round(min(5, max(0.5, rng.gauss(3.1, 0.8))), 1)))  # AlloCiné, spectators
            if rng.random() < 0.6:
                ratings.append((p["id"], 2, 1, rng.randint(1, 10) / 2))  # AlloCiné, press
        if rng.random() < 0.2:
            ratings.append((p["id"], 1, 2, round(rng.uniform(1, 5), 1)))  # another service
    out.write("backend.program_rating", "program_id program_rating_services_id program_rating_type_id rating", ratings)

    affinities = set()
    for p in programs:
        if rng.random() < 0.93:
            affinities.add((p["id"], p["affinity"]))
        if p["theme"] == "jeunesse" or rng.random() < 0.12:
            affinities.add((p["id"], rng.choice(["Jeunesse", "Cinéma", "Séries", "Culture"])))
    out.write("external_sources.daily_prog_affinity", "program_id affinity", sorted(affinities))
    out.write("dw.fact_watch", "user_id program_id episode_id channel_id asset_type device_type real_start_at duration date_day",
              [(*w[:6], stamp(w[6]), w[7], w[6].date()) for w in watches])
    out.write("ml.user_replay_recommendations_latest", "user_id recommendations update_date", recommendations(vods))
    write_incoming(out.folder / "incoming", programs)

    total = sum(size for _, size in out.sizes.values())
    for table, (rows, size) in out.sizes.items():
        print(f"{rows:7d} rows {size / 1024:8.0f} KiB  {table}")
    print(f"{total / 2**20:.2f} MiB")


main()
