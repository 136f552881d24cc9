#!/bin/sh
# Make .venv hold exactly what uv.lock names: `sh infra/setup.sh run` for use, `dev` with the test tools as well.
#
# Called by the Makefile. uv is taken from PATH, or installed from PyPI into .uv/ of this checkout; Python is the
# system's own, never downloaded. Everything said goes to standard error: standard output belongs to the platform.
# PYTHON=/path/to/python chooses the interpreter.
set -eu
cd "$(dirname "$0")/.."
exec >&2

stop() {
    printf 'set-up stopped: %s\n' "$1"
    shift
    for line in "$@"; do printf '    %s\n' "$line"; done
    exit 1
}

# How this system installs a package that goes by one name at Debian, one at Fedora and one at Homebrew.
install_line() {
    if command -v apt-get >/dev/null 2>&1; then echo "sudo apt install $1"
    elif command -v dnf >/dev/null 2>&1; then echo "sudo dnf install $2"
    elif command -v brew >/dev/null 2>&1; then echo "brew install $3"
    else echo "install $1 with your system's package manager"
    fi
}

# Prints "ok", or what is wrong; fails where the name is absent or cannot run (a version manager's empty shim).
probe_python() {
    "$1" -c '
import sys
if sys.version_info < (3, 11):
    print("is Python %d.%d" % sys.version_info[:2])
else:
    try:
        import ctypes, sqlite3, ssl, zlib
        print("ok")
    except ImportError as error:
        print("was built without a standard module (%s)" % error)
' 2>/dev/null </dev/null
}

python_candidates() {
    if [ -n "${PYTHON:-}" ]; then echo "$PYTHON"
    else echo python3.14 python3.13 python3.12 python3.11 python3
    fi
}

# Sets `python` to the first candidate that will do.
find_python() {
    rejected=""
    for candidate in $(python_candidates); do
        verdict=$(probe_python "$candidate") || continue
        if [ "$verdict" = ok ]; then
            python=$(command -v "$candidate")
            return
        fi
        rejected="$rejected$candidate $verdict; "
    done
    stop "Python 3.11 or newer is needed, and none was found (${rejected:-no python3 on PATH})" \
        "$(install_line 'python3.11 python3.11-venv' python3.11 python@3.13)   (or any newer version)" \
        "an interpreter that is not on PATH: make up PYTHON=/path/to/python3"
}

# Sets `uv`: PATH's where it is new enough to read our lock, else our own.
find_uv() {
    for candidate in uv .uv/bin/uv; do
        version=$("$candidate" --version 2>/dev/null </dev/null | sed -n 's/^uv \([0-9]*\)\.\([0-9]*\).*/\1 \2/p') || continue
        # shellcheck disable=SC2086  # two numbers
        set -- $version
        if [ "${1:-0}" -gt 0 ] || [ "${2:-0}" -ge 8 ]; then
            uv=$candidate
            return
        fi
    done
    install_uv
}

install_uv() {
    find_python
    release=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        stop "$python has no venv module (or no ensurepip), which is needed to install uv" \
            "$(install_line "python$release-venv" "python$release" "python@$release")" \
            "or install uv yourself: https://docs.astral.sh/uv/"
    fi
    echo "installing uv from PyPI into .uv/"
    rm -rf .uv
    if ! { "$python" -m venv .uv && .uv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'; } </dev/null; then
        rm -rf .uv
        stop "uv could not be installed from PyPI; the reason stands above" \
            "look at the network (proxy: HTTPS_PROXY) and run the same command again" \
            "or install uv yourself: https://docs.astral.sh/uv/"
    fi
    uv=.uv/bin/uv
}

case "${1:-}" in
    run) groups="--no-dev" ;;
    dev) groups="" ;;
    *) stop "unknown set '${1:-}'" "usage: sh infra/setup.sh run|dev" ;;
esac

export UV_PROJECT_ENVIRONMENT=.venv UV_PYTHON_DOWNLOADS=never
unset VIRTUAL_ENV CONDA_PREFIX PYTHONHOME UV_PYTHON
# Like pip, uv shall trust the certificates of the system, where a company adds the one of its proxy.
if [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/pki/tls/certs/ca-bundle.crt ]; then
    export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}"
fi

# Scripts and the package's link in .venv hold absolute paths: one that was moved or copied runs the old checkout.
if [ -d .venv ] && [ "$(cat .venv/.checkout 2>/dev/null || pwd -P)" != "$(pwd -P)" ]; then
    echo "the checkout was moved: making .venv anew"
    rm -rf .venv
fi

find_uv
# An environment that works keeps its Python; --inexact leaves the test tools to whoever has them.
if [ -z "${PYTHON:-}" ] && [ "$(probe_python .venv/bin/python)" = ok ]; then
    chosen=.venv/bin/python
else
    find_python
    chosen=$python
fi
echo "installing the packages of uv.lock into .venv ($("$chosen" --version))"
# shellcheck disable=SC2086  # empty or one word
if ! "$uv" sync --locked --inexact --compile-bytecode $groups --python "$chosen" --quiet </dev/null; then
    stop "uv could not install what uv.lock names; the reason stands above" \
        "look at the network and the disk, then run the same command again"
fi
# Bytecode beforehand: an environment that forbids Python to write any would compile every import at every start.
.venv/bin/python -m compileall -q quant_platform || true
pwd -P >.venv/.checkout
