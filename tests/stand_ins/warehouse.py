"""Stands in for Snowflake: python3 warehouse.py PORT

fakesnow's own server does all SQL; this adapts its wire format to what the service sends to a client that is not Python:
JSON rowsets, result chunks, query ids on errors, logins that are checked (password, key pair, OAuth), answers that have to be
polled for, aborts, sessions that expire, and faults that are injected. fakesnow is not Snowflake: NUMBER(38,0) is 64 bits
wide, SUM and AVG of NUMBER are floats, a division by zero is infinite, DDL in a transaction is undone with it. What
it does not know is respelled for the database underneath: ASOF JOIN, RATIO_TO_REPORT, and CREATE OR REPLACE of a clone.

Environment: USERS (JSON: name -> {password, public_key, oauth}), CHUNK_ROWS, ASYNC_AFTER (seconds until an answer has to be
polled for), S3 (the address of the S3 that stages are in).

POST /__gate: {"fault": {"where": "login|query|poll|chunk", "n": times, "status": 503 or 0 for a broken connection,
"match": regex on the SQL, "after": whether the statement is carried out first}}, {"expire_all": true}, {"clear": true},
{"duckdb": [statements for the database underneath]}, {"sql": [statements], "database": name}; it answers with the log of
what clients sent, the rows of the last statement and the seconds that went into answering clients.
"""

import asyncio
import base64
import gzip
import hashlib
import itertools
import json
import os
import re
import sys
import time
import uuid

import fakesnow.server as fakesnow
import jwt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import uvicorn
from cryptography.hazmat.primitives import serialization
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

USERS = json.loads(os.environ.get("USERS", "{}"))
CHUNK_ROWS = int(os.environ.get("CHUNK_ROWS", "50000"))
ASYNC_AFTER = float(os.environ.get("ASYNC_AFTER", "45"))

running, results, chunks = {}, {}, {}
# The seconds that went into answering clients.
answering = [0.0]
# What was asked: (query id, query tag); the tags by session.
asked, tags = [], {}
# The open transactions: session -> (id, name).
transactions, transaction_ids = {}, itertools.count(1)
expired, faults, log = set(), [], []


def failed(code, message, status=200, **data):
    body = {"data": data or None, "code": code, "message": message, "success": False, "headers": None}
    return JSONResponse(body, status_code=status)


async def body_of(request):
    body = await request.body()
    if request.headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    return json.loads(body or b"{}")


def with_body(request, body):
    """The same request with another body."""
    raw = json.dumps(body).encode()
    scope = dict(request.scope)
    scope["headers"] = [(k, v) for k, v in scope["headers"] if k not in (b"content-encoding", b"content-length")]
    sent = False

    async def receive():
        nonlocal sent
        if sent:
            await asyncio.sleep(3600)
        sent = True
        return {"type": "http.request", "body": raw, "more_body": False}

    return Request(scope, receive)


def fault_at(where, text=""):
    for fault in faults:
        if fault["where"] == where and fault["n"] > 0 and re.search(fault.get("match", ""), text or "", re.I | re.S):
            fault["n"] -= 1
            log.append({"fault": where, "text": (text or "")[:80]})
            return fault
    return None


class Broken(Response):
    """A connection that ends in the middle of its answer."""

    async def __call__(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
        await send({"type": "http.response.body", "body": b"{", "more_body": False})


def answer_of(fault):
    if fault["status"] == 0:
        return Broken()
    return Response(fault.get("body", "injected"), status_code=fault["status"])


def is_signed(user, login):
    """Whether a key pair's token is all that the service asks of it."""
    key = serialization.load_pem_public_key(user["public_key"].encode())
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    fingerprint = base64.b64encode(hashlib.sha256(der).digest()).decode()
    name = f"{login['ACCOUNT_NAME'].split('.')[0].upper()}.{login['LOGIN_NAME'].upper()}"
    claims = jwt.decode(login["TOKEN"], key, algorithms=["RS256"], options={"require": ["exp", "iat", "iss", "sub"]})
    issued = claims["sub"] == name and claims["iss"] == f"{name}.SHA256:{fingerprint}"
    return issued and claims["exp"] - claims["iat"] <= 3600


async def login(request):
    body = await body_of(request)
    data = body["data"]
    shown = {k: v for k, v in data.items() if k not in ("PASSWORD", "TOKEN")}
    log.append({"login": shown, "query": dict(request.query_params)})
    if fault := fault_at("login"):
        return answer_of(fault)
    user = USERS.get(data.get("LOGIN_NAME", "").upper())
    kind = data.get("AUTHENTICATOR", "SNOWFLAKE").upper()
    if USERS and kind == "SNOWFLAKE_JWT":
        try:
            signed = user is not None and is_signed(user, data)
        except Exception as error:
            log.append({"refused": repr(error)})
            signed = False
        if not signed:
            return failed("390144", f"JWT token is invalid. [{uuid.uuid4()}]")
    elif USERS and kind == "OAUTH":
        if user is None or user.get("oauth") != data.get("TOKEN"):
            return failed("390303", f"Invalid OAuth access token. {uuid.uuid4()}")
    elif USERS and (user is None or user.get("password") != data.get("PASSWORD")):
        return failed("390100", "Incorrect username or password was specified.")
    data.setdefault("SESSION_PARAMETERS", {})
    response = await fakesnow.login_request(with_body(request, body))
    token = (json.loads(response.body).get("data") or {}).get("token")
    tags[token] = data["SESSION_PARAMETERS"].get("QUERY_TAG", "")
    return response


def seconds_text(column, kind):
    """A timestamp as seconds with nine decimals; fakesnow counts fractions up from a negative whole."""
    column = column.combine_chunks()
    whole, fraction = pc.struct_field(column, "epoch"), pc.struct_field(column, "fraction").cast(pa.int64())
    below = pc.and_(pc.less(whole, 0), pc.greater(fraction, 0))
    whole = pc.if_else(below, pc.add(whole, 1), whole)
    fraction = pc.if_else(below, pc.subtract(1000000000, fraction), fraction)
    sign = pc.if_else(pc.and_(below, pc.equal(whole, 0)), "-", "")
    text = pc.binary_join_element_wise(sign, whole.cast(pa.string()), "")
    text = pc.binary_join_element_wise(text, pc.utf8_lpad(fraction.cast(pa.string()), 9, "0"), ".")
    if kind == "timestamp_tz":
        text = pc.binary_join_element_wise(text, pc.struct_field(column, "timezone").cast(pa.string()), " ")
    return pc.if_else(pc.is_valid(column), text, pa.scalar(None, pa.string()))


def texts(column, kind):
    """A column in the texts of the JSON wire."""
    of = column.type
    if pa.types.is_struct(of):
        return seconds_text(column, kind)
    if kind == "time":
        value = column.cast(pa.int64())
        whole = pc.divide(value, 1000000000)
        rest = pc.subtract(value, pc.multiply(whole, 1000000000))
        return pc.binary_join_element_wise(whole.cast(pa.string()), pc.utf8_lpad(rest.cast(pa.string()), 9, "0"), ".")
    if pa.types.is_date(of):
        return column.cast(pa.int32()).cast(pa.string())
    if pa.types.is_boolean(of):
        return pc.if_else(column, "1", "0")
    if pa.types.is_binary(of) or pa.types.is_large_binary(of):
        return pa.array([None if v is None else v.hex().upper() for v in column.to_pylist()], pa.string())
    if pa.types.is_decimal(of):
        return pa.array([None if v is None else format(v, "f") for v in column.to_pylist()], pa.string())
    if pa.types.is_floating(of):
        return pa.array([None if v is None else repr(v) for v in column.to_pylist()], pa.string())
    return column.cast(pa.string())


def as_json(data, base):
    """An answer of fakesnow's in the form of JSON rowsets, the rows after the first ones in chunks."""
    if data.get("queryResultFormat") != "arrow":
        data.setdefault("returned", data.get("total"))
        return data
    packed = data.pop("rowsetBase64")
    data["queryResultFormat"] = "json"
    if not packed:
        data["rowset"], data["returned"] = [], 0
        return data
    table = pa.ipc.open_stream(pa.BufferReader(base64.b64decode(packed))).read_all()
    columns = [texts(column, of["type"]) for column, of in zip(table.columns, data["rowtype"])]
    count = table.num_rows

    def rows(start, end):
        return [list(row) for row in zip(*[column.slice(start, end - start).to_pylist() for column in columns])]

    first = min(count, CHUNK_ROWS)
    data["rowset"], data["total"], data["returned"] = rows(0, first), count, first
    if count > first:
        data["chunks"], data["chunkHeaders"] = [], {}
        for at, start in enumerate(range(first, count, CHUNK_ROWS)):
            end = min(count, start + CHUNK_ROWS)
            raw = json.dumps(rows(start, end), separators=(",", ":"))[1:-1].encode()
            chunks[(data["queryId"], at)] = packed = gzip.compress(raw, 1)
            url = f"{base}/chunk/{data['queryId']}/{at}"
            sizes = {"uncompressedSize": len(raw), "compressedSize": len(packed)}
            data["chunks"].append({"url": url, "rowCount": end - start, **sizes})
    return data


def closing(sql, start):
    """The place of the parenthesis that closes the one at `start`."""
    depth = 0
    for at in range(start, len(sql)):
        depth += {"(": 1, ")": -1}.get(sql[at], 0)
        if depth == 0:
            return at
    return len(sql) - 1


def respelled(sql):
    """What fakesnow does not know, as DuckDB says it."""
    while found := re.search(r"\basof\s+join\b(?P<table>(?:(?!\basof\b).)*?)\bmatch_condition\s*\(", sql, re.I | re.S):
        end = closing(sql, found.end() - 1)
        condition, rest = sql[found.end() : end], re.sub(r"^\s*on\b", "", sql[end + 1 :], flags=re.I)
        sql = f"{sql[:found.start()]}asof left join{found['table']}on {condition} and {rest}"
    sql = re.sub(r"^(create or replace transient table \S+) clone (\S+)$", r"\1 as select * from \2", sql, flags=re.I)
    while found := re.search(r"\bratio_to_report\s*\(", sql, re.I):
        end = closing(sql, found.end() - 1)
        value = sql[found.end() : end]
        sql = f"{sql[:found.start()]}({value}) / sum({value}){sql[end + 1 :]}"
    return sql


def of_history(sql):
    """A question for the history of queries, each of which is said to have read 1,024 bytes."""
    table = r'table\(("?\w+"?\.)?information_schema\.query_history_by_user\([^()]*\)\)'
    rows = [f"select '{id}' as query_id, 1024 as bytes_scanned, '{tag}' as query_tag" for id, tag in asked if id]
    rows = rows or ["select null as query_id, 0 as bytes_scanned, '' as query_tag where false"]
    return re.sub(table, lambda _: f"({' union all '.join(rows)}) as asked", sql, flags=re.I)


def of_transactions(sql, token):
    """A statement on transactions as fakesnow takes it: it knows neither their names nor those of other sessions."""
    if found := re.fullmatch(r'begin\s+name\s+"?(\w+)"?', sql.strip(), re.I):
        transactions[token] = (next(transaction_ids), found[1])
        return "BEGIN"
    if re.fullmatch(r"commit|rollback", sql.strip(), re.I):
        transactions.pop(token, None)
    elif re.fullmatch(r"show\s+transactions", sql.strip(), re.I):
        rows = [f"select {id} as \"id\", '{name}' as \"name\"" for id, name in transactions.values()]
        return " union all ".join(rows or ['select 0 as "id", null::varchar as "name" where false'])
    elif found := re.search(r"system\$abort_transaction\((\d+)\)", sql, re.I):
        for other in [other for other, (id, _) in transactions.items() if id == int(found[1])]:
            fakesnow.sessions[other].cursor().execute("ROLLBACK")
            del transactions[other]
        return "select 'Transaction aborted.' as done"
    return sql


async def execute(request, body, entry, base):
    response = await fakesnow.query_request(with_body(request, body))
    out = json.loads(response.body)
    if entry["aborted"]:
        data = {"queryId": entry["id"], "errorCode": "000604", "sqlState": "57014"}
        return {"data": data, "code": "000604", "message": "SQL execution canceled", "success": False}, 200
    if not out["success"]:
        out["data"] = {**(out.get("data") or {}), "queryId": entry["id"]}
        if response.status_code == 500:
            log.append({"unhandled": out.get("message")})
            return {**out, "code": "002140", "message": "fakesnow cannot do this"}, 200
        return out, response.status_code
    if (out["data"] or {}).get("queryId"):
        out["data"] = await asyncio.to_thread(as_json, out["data"], base)
    out.setdefault("code", None)
    out.setdefault("message", None)
    return out, 200


async def query(request):
    body = await body_of(request)
    sql, id = body.get("sqlText"), request.query_params.get("requestId", str(uuid.uuid4()))
    token = fakesnow.to_token(request)
    log.append({"sql": sql, "requestId": id})
    fault = fault_at("query", sql)
    if fault and not fault.get("after"):
        return answer_of(fault)
    if token in expired:
        return failed("390112", "Your session has expired. Please login again.")
    if token not in fakesnow.sessions:
        return failed("390104", "User must login again to access the service.")
    if sql:
        body["sqlText"] = of_history(respelled(await asyncio.to_thread(of_transactions, sql, token)))
    entry = {"connection": fakesnow.sessions[token], "id": str(uuid.uuid4()), "aborted": False}
    running[id] = entry
    task = asyncio.create_task(execute(request, body, entry, f"{request.url.scheme}://{request.url.netloc}"))
    task.add_done_callback(lambda _: running.pop(id, None))
    try:
        out, status = await asyncio.wait_for(asyncio.shield(task), ASYNC_AFTER)
    except asyncio.TimeoutError:
        results[entry["id"]] = task
        data = {"queryId": entry["id"], "getResultUrl": f"/queries/{entry['id']}/result"}
        data |= {"queryAbortsAfterSecs": 300, "progressDesc": None}
        return JSONResponse({"data": data, "code": "333334", "message": "in progress", "success": True})
    if out.get("success"):
        asked.append(((out.get("data") or {}).get("queryId"), tags.get(token, "")))
    return answer_of(fault) if fault else JSONResponse(out, status_code=status)


async def poll(request):
    id = request.path_params["id"]
    if fault := fault_at("poll"):
        return answer_of(fault)
    try:
        out, status = await asyncio.wait_for(asyncio.shield(results[id]), ASYNC_AFTER)
    except asyncio.TimeoutError:
        data = {"queryId": id, "getResultUrl": f"/queries/{id}/result"}
        return JSONResponse({"data": data, "code": "333333", "message": "in progress", "success": True})
    if out.get("data") is not None:
        out["data"].setdefault("queryId", id)
    return JSONResponse(out, status_code=status)


async def abort(request):
    id = (await body_of(request)).get("requestId")
    entry = running.get(id)
    log.append({"abort": id, "running": entry is not None})
    if entry:
        entry["aborted"] = True
        entry["connection"]._duck_conn.interrupt()
    return JSONResponse({"data": None, "code": None, "message": None, "success": True})


async def chunk(request):
    if fault := fault_at("chunk"):
        return answer_of(fault)
    packed = chunks[(request.path_params["id"], request.path_params["at"])]
    return Response(packed, headers={"content-type": "application/octet-stream"})


def run_sql(statements, database):
    connection = fakesnow.shared_fs.connect(database, None)
    rows = []
    for statement in statements:
        cursor = connection.cursor()
        cursor.execute(statement)
        rows = cursor.fetchall() if cursor.description else []
    return [[None if value is None else str(value) for value in row] for row in rows]


async def control(request):
    body = await body_of(request)
    if body.get("clear"):
        faults.clear()
        log.clear()
    if body.get("expire_all"):
        expired.update(fakesnow.sessions)
    if body.get("fault"):
        faults.append(body["fault"])
    rows = []
    try:
        for statement in body.get("duckdb", []):
            fakesnow.shared_fs.duck_conn.cursor().execute(statement)
        if body.get("sql"):
            rows = await asyncio.to_thread(run_sql, body["sql"], body.get("database"))
    except Exception as error:
        return JSONResponse({"error": str(error)}, status_code=400)
    return JSONResponse({"running": len(running), "log": log, "rows": rows, "seconds": answering[0]})


def use_s3(address):
    """DuckDB reads s3:// through pyarrow's client: its own takes an extension from the network."""
    import pyarrow.fs
    from fsspec.implementations.arrow import ArrowFSWrapper

    class S3(ArrowFSWrapper):
        protocol, root_marker = "s3", ""

        @classmethod
        def _strip_protocol(cls, path):
            return path.removeprefix("s3://").rstrip("/")

    place = {"scheme": "http", "endpoint_override": address.removeprefix("http://")}
    client = pyarrow.fs.S3FileSystem(access_key="a", secret_key="b", region="eu-west-1", **place)
    fakesnow.shared_fs.duck_conn.register_filesystem(S3(client))


class Timed:
    """Answers, and how long they take."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        begin = time.perf_counter()
        await self.app(scope, receive, send)
        if scope.get("path") != "/__gate":
            answering[0] += time.perf_counter() - begin


app = Starlette(
    routes=[
        Route("/session/v1/login-request", login, methods=["POST"]),
        Route("/queries/v1/query-request", query, methods=["POST"]),
        Route("/queries/v1/abort-request", abort, methods=["POST"]),
        Route("/queries/{id}/result", poll),
        Route("/chunk/{id}/{at:int}", chunk),
        Route("/__gate", control, methods=["POST"]),
        Mount("/", fakesnow.app),
    ]
)

if __name__ == "__main__":
    if address := os.environ.get("S3"):
        use_s3(address)
    uvicorn.run(Timed(app), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
