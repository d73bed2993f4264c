#!/usr/bin/env bash
# Installs mconv into an environment of its own and puts it on PATH for the steps that follow.
#
#   MCONV_PACKAGE   what pip installs: a folder, a wheel, `paddle-mconv==0.1.0` (default: the checkout this script is in);
#                   `installed`: nothing, the mconv on PATH is used
#   MCONV_EXTRAS    extras, comma-separated (default: recipes,verify)
#   MCONV_RUNTIMES  managed runtimes to install, e.g. "paddle-2.3.2 paddle-2.6.2" (default: none)
#   MCONV_VENV      the environment (default: mconv-venv in RUNNER_TEMP or TMPDIR)
#   GITHUB_PATH     as GitHub sets it: a file that collects folders for PATH
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
package=${MCONV_PACKAGE:-$(dirname "$here")}
if [ "$package" = installed ]; then
    command -v mconv >/dev/null || { echo "error: MCONV_PACKAGE is 'installed', but there is no mconv on PATH" >&2; exit 7; }
else
    venv=${MCONV_VENV:-${RUNNER_TEMP:-${TMPDIR:-/tmp}}/mconv-venv}
    python=$(command -v python3 || command -v python)
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    name=${package%%[=<>~!]*} # extras stand between the name and the version
    extras=${MCONV_EXTRAS-recipes,verify}
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${name}${extras:+[$extras]}${package#"$name"}"
    export PATH="$venv/bin:$PATH"
    [ -z "${GITHUB_PATH:-}" ] || echo "$venv/bin" >>"$GITHUB_PATH"
fi
mconv --version
read -ra runtimes <<<"${MCONV_RUNTIMES:-}"
[ ${#runtimes[@]} -eq 0 ] || mconv runtime install "${runtimes[@]}"
