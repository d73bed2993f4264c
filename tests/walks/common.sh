# what every walk has: commands that are typed are counted, asked for their exit code, and what they say is looked at
set -u
typed=0
: "${PYTHON:=python}"
mconv() { "$PYTHON" -m mconv "$@"; }

fail() { echo "FAILED: $*" >&2; exit 1; }

# gives CODE COMMAND…: types a command; what it says is in ./said
gives() {
    local wanted=$1; shift
    typed=$((typed + 1))
    printf '$ %s\n' "$*"
    "$@" > said 2>&1; local code=$?
    sed 's/^/    /' said; [ -z "$(tail -c 1 said)" ] || echo
    [ $code = "$wanted" ] || fail "$* ended with $code, not $wanted"
}

# says PATTERN…: what the last command said has a line with each of them
says() { for pattern in "$@"; do grep -qE -- "$pattern" said || fail "nothing like '$pattern' was said"; done; }

done_walking() { echo "walk: $typed commands typed, $SECONDS s"; }
