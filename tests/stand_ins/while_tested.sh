#!/bin/sh
# Runs a server for as long as whoever started it lives: it ends when standard input is closed. $1 is a folder to remove then.
folder=$1
shift
"$@" &
server=$!
cat >/dev/null
kill "$server" 2>/dev/null
wait "$server" 2>/dev/null
rm -rf "$folder"
