#!/bin/sh
# Is the shape of the module ABI the one that was recorded?
#
#   check.sh LIBRARY           compares; abidiff says what differs
#   check.sh --record LIBRARY  records. From ABI 1 on only what grew: fields and enumerators at the end
set -eu
here=$(cd "$(dirname "$0")" && pwd)
header=$here/../../sdk/include/imctl/module.h
recorded=$here/module.abi

# Each struct must be looked at, else nothing guards it.
missing=$(sed -n 's/^} \(imctl_[a-z_]*\);.*/\1/p' "$header" | while read -r name; do
  grep -q "SURFACE($name)" "$here/surface.c" || echo "$name"
done)
[ -z "$missing" ] || { echo "tests/abi/surface.c lacks: $missing" >&2; exit 1; }

if [ "$1" = --record ]; then
  library=$2
  report=$(abidiff --no-corpus-path "$recorded" "$library") || true
  if ! grep -q '^#define IMCTL_ABI 0$' "$header" && echo "$report" |
    grep -E "offset changed|deletion|type of '|enumerator.* (deletion|change)|[1-9][0-9]* Removed"; then
    echo "that is no growth: modules that are built would break. Use a new table or a new name." >&2
    exit 1
  fi
  exec abidw --no-corpus-path --no-comp-dir-path --no-show-locs --short-locs \
    --out-file "$recorded" "$library"
fi
abidiff --no-corpus-path "$recorded" "$1" || {
  echo "module.h no longer has the shape that tests/abi/module.abi recorded." >&2
  echo "If that is meant: tests/abi/check.sh --record $1, and say so in CHANGELOG.md." >&2
  exit 1
}
