#!/bin/sh
# The host knows no module by name; a module includes nothing of the host or of another module.
# Usage: house_rules.sh SOURCE_DIR
cd "$1" || exit 2
fail=0
for manifest in $(find modules -name module.txtpb); do
  name=$(sed -n 's/^name: *"\(.*\)"/\1/p' "$manifest")
  # A name that is a word of the language as well is meant where it is a file's, or stands for a module.
  case $name in
  *-*) pattern=$name ;;
  *) pattern="modules?/$name\b|\"$name\.so|module \\\\?\"$name\b" ;;
  esac
  if grep -rnE --include='*.h' --include='*.cc' --include='*.proto' -e "$pattern" host sdk/include sdk/proto; then
    echo "the host or the SDK names the module $name"
    fail=1
  fi
done
if grep -rnE '#include *[<"](core|cli|grpc|builtin|host)/' --include='*.h' --include='*.cc' modules sdk/include |
    grep -vE '\.pb\.h"'; then
  echo "a module or the SDK includes the host"
  fail=1
fi
# Before C++23 the view would be gone before the loop begins.
if grep -rnE 'for \([^;]* : .*view\(\)->' --include='*.h' --include='*.cc' host tests; then
  echo "a loop over what a temporary view has: for (auto view = ...view(); const auto& x : view->...)"
  fail=1
fi
exit $fail
