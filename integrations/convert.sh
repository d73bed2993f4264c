#!/usr/bin/env bash
# Converts and proves: recipes, or one model for which a recipe is written. Fails when any conversion fails.
#
#   MCONV_RECIPES    recipes or folders of them, separated by blanks or lines; patterns such as recipes/*.yaml
#   MCONV_MODEL      one model instead: a file, a folder or a prefix
#   MCONV_OUT        where results go, a folder for each recipe (default: build)
#   MCONV_TARGET     the Paddle that will load them: 1.8, 2.3, 2.6, 3 (default: what the recipes say)
#   MCONV_TOLERANCE  how far outputs may be apart (default: what the recipes say)
#   MCONV_JOBS       how many recipes run at a time (default: 1)
#   MCONV_ARGS       further options of `mconv run`
#   MCONV_REPORTS    where junit.xml and summary.md go (default: mconv-reports)
#   MCONV_VENV       where install.sh has put mconv, which is used where none is on PATH (default: as there)
#   GITHUB_OUTPUT    as GitHub sets it: a file that collects the step's outputs
# With GITHUB_STEP_SUMMARY and GITHUB_ACTIONS, as GitHub sets them, `mconv run` adds its summary to the job's and marks
# what failed in the recipes.
set -euo pipefail

# install.sh has no say in the PATH of the shell that it was started from
venv=${MCONV_VENV:-${RUNNER_TEMP:-${TMPDIR:-/tmp}}/mconv-venv}
command -v mconv >/dev/null || export PATH="$venv/bin:$PATH"
command -v mconv >/dev/null || { echo "error: no mconv on PATH or in $venv: run install.sh first" >&2; exit 7; }

out=${MCONV_OUT:-build}
reports=${MCONV_REPORTS:-mconv-reports}
mkdir -p "$reports"
recipes=()
for pattern in ${MCONV_RECIPES:-}; do # unquoted: blanks separate, and patterns are expanded
    [ -e "$pattern" ] || { echo "error: MCONV_RECIPES: nothing matches $pattern" >&2; exit 2; }
    recipes+=("$pattern")
done
if [ -n "${MCONV_MODEL:-}" ]; then
    [ ${#recipes[@]} -eq 0 ] || { echo "error: MCONV_MODEL and MCONV_RECIPES: give one of them" >&2; exit 2; }
    name=$(basename "$MCONV_MODEL")
    mconv init "$MCONV_MODEL" --out "$reports/${name%.*}.yaml" --force
    recipes=("$reports/${name%.*}.yaml")
fi
[ ${#recipes[@]} -gt 0 ] || { echo "error: neither MCONV_RECIPES nor MCONV_MODEL is set" >&2; exit 2; }

options=(--out "$out" --jobs "${MCONV_JOBS:-1}" --junit "$reports/junit.xml" --summary "$reports/summary.md")
[ -z "${MCONV_TARGET:-}" ] || options+=(--set "target=$MCONV_TARGET")
[ -z "${MCONV_TOLERANCE:-}" ] || options+=(--set "verification.tolerance=$MCONV_TOLERANCE")
read -ra more <<<"${MCONV_ARGS:-}"
if [ -n "${GITHUB_OUTPUT:-}" ]; then # before the run: reports of a failed one are wanted most
    printf '%s\n' "out=$out" "junit=$reports/junit.xml" "summary=$reports/summary.md" >>"$GITHUB_OUTPUT"
fi
mconv run "${recipes[@]}" "${options[@]}" "${more[@]}"
