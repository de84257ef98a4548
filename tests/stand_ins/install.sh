#!/usr/bin/env bash
# Installs the servers that stand in for Snowflake, AWS and RDS in the full test: fakesnow and moto (S3, SSM) into
# target/stand-ins, and PostgreSQL from the system's packages where it is not there yet.
set -euo pipefail
cd "$(dirname "$0")/../.."
if ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && ! command -v initdb >/dev/null; then
  sudo=""
  [ "$(id -u)" = 0 ] || sudo="sudo"
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends postgresql openssl
fi
venv=target/stand-ins/venv
if ! "$venv/bin/python" -c 'import moto.server, fakesnow.server, jwt, fsspec' 2>/dev/null; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q -r tests/stand_ins/requirements.txt
fi
echo "stand-ins are installed: moto, fakesnow, PostgreSQL"
