#!/bin/sh
# Two IM nodes on this machine, to try things on: the second uses the first's storage and its Cluster Management Service.
# Ctrl-C stops both. What they keep is in FOLDER (default: a temporary one, removed at the end).
#
#   packaging/two-nodes.sh [FOLDER]
set -eu

imctl=${IMCTL:-$(dirname "$0")/../build/bin/imctl}
first=127.0.0.1:${FIRST_PORT:-50061}
second=127.0.0.1:${SECOND_PORT:-50062}
folder=${1:-}
temporary=
if [ -z "$folder" ]; then
  folder=$(mktemp -d)
  temporary=$folder
fi
umask 077
mkdir -p "$folder"

# The second proves by a key who it is.
key=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
hash=$(printf %s "$key" | sha256sum | cut -d ' ' -f 1)

cat >"$folder/one.conf" <<CONF
[host]
data = $folder/one
listen = $first
auth = none
modules = storage-sqlite, user, router
[nodes]
two = sha256:$hash
[router]
name = one
address = $first
CONF
cat >"$folder/two.conf" <<CONF
[host]
data = $folder/two
listen = $second
auth = none
modules = user, router
[bind]
node = two
node_key = $key
imctl.storage.v1.Mailboxes = grpc://$first
imctl.storage.v1.Records = grpc://$first
[router]
name = two
roles = node
services = grpc://$first
address = $second
CONF

"$imctl" serve --config "$folder/one.conf" &
one=$!
two=
stop() {
  trap - INT TERM EXIT
  kill $one $two 2>/dev/null || true
  wait
  [ -z "$temporary" ] || rm -rf "$temporary"
}
trap stop INT TERM EXIT
"$imctl" serve --config "$folder/two.conf" &
two=$!
wait
