# Sourced by every recipe (". ../../path.sh") and by tests/run.sh: makes spkid, its tools and its Python the first on PATH.
#
# Where spkid is installed for the python3 on PATH, that environment is used as it is. Everywhere else this file builds
# .venv beside itself from requirements.txt, once (about 5 GB, a few minutes), and puts it first on PATH. It changes no
# other environment. Works under "set -euo pipefail", from any directory; returns 1 after one sentence where it cannot.

_spkid_say() { echo "path.sh: $*" >&2; }

# Whether the python3 on PATH has spkid and its tools. Asked from "/": the current directory must not answer.
_spkid_on_path() {
  local root=$1 python where
  python=$(command -v python3) || return 1
  [ "$python" != "$root/.venv/bin/python3" ] || return 1  # ours: the stamp decides
  command -v copy-feats >/dev/null || return 1
  where=$(cd / && python3 -c 'import os, plumbum, spkid; print(os.path.dirname(os.path.dirname(spkid.__file__)))' 2>/dev/null) || return 1
  [ "$where" -ef "$root" ] || _spkid_say "using spkid of $where ($python)"
}

# What the environment is made from; .venv/.complete holds it once everything is installed.
_spkid_stamp() {
  local root=$1
  echo "$root"
  cat "$root/requirements.txt" "$root/setup.py" | sha256sum
  (cd "$root/spkid/bin" && printf '%s\n' *.py | sha256sum)
}

_spkid_find_python() {
  local python
  for python in python3.11 python3 python3.12 python3.13; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "$python"
        return 0
      fi
      _spkid_say "$python has no venv module; on Debian and Ubuntu: apt-get install $("$python" -c \
        'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
      return 1
    fi
  done
  _spkid_say "no Python 3.11 or later on PATH; on Debian and Ubuntu: apt-get install python3 python3-venv"
  return 1
}

# Names of installed packages whose files are not all there (an installation that was killed), with their versions.
_spkid_broken_packages() {
  "$1" -c '
from importlib.metadata import distributions
for package in distributions():
    name = package.metadata["Name"]
    if name and name != "spkid" and not (package.files and all(file.locate().exists() for file in package.files)):
        print(f"{name}=={package.version}")
'
}

_spkid_pip() {
  env -u PYTHONPATH -u PYTHONHOME -u PIP_TARGET -u PIP_PREFIX PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 \
    "$1" -m pip --disable-pip-version-check --no-input "${@:2}" --root-user-action=ignore >&2
}

# Builds or finishes .venv. The caller holds the lock.
_spkid_build() {
  local root=$1 python=$1/.venv/bin/python base free broken
  if [ -f "$root/.venv/.complete" ] && [ "$(head -n 1 "$root/.venv/.complete")" != "$root" ]; then
    _spkid_say "$root/.venv was built at another place; building it again"
    rm -rf "$root/.venv" || return 1
  fi
  if ! "$python" -c 'import pip' 2>/dev/null; then
    base=$(_spkid_find_python) || return 1
    free=$(df -Pk "$root" | awk 'NR == 2 {print int($4 / 1048576)}')
    if [ "$free" -lt 6 ]; then
      _spkid_say "$root has ${free} GB of free disk; its environment (.venv) needs 6 GB"
      return 1
    fi
    _spkid_say "building $root/.venv with $base: about 5 GB, a few minutes, once"
    "$base" -m venv --clear "$root/.venv" >&2 || { _spkid_say "$base could not make $root/.venv"; return 1; }
  elif [ "$(sed -n 2p "$root/.venv/.complete" 2>/dev/null)" != "$(_spkid_stamp "$root" | sed -n 2p)" ]; then
    _spkid_say "finishing $root/.venv"
  fi
  if [ "$(sed -n 2p "$root/.venv/.complete" 2>/dev/null)" != "$(_spkid_stamp "$root" | sed -n 2p)" ]; then
    rm -f "$root/.venv/.complete"
    _spkid_pip "$python" install -r "$root/requirements.txt" || {
      _spkid_say "pip could not install requirements.txt (above: why; $(df -Ph "$root" | awk 'NR == 2 {print $4}') of disk" \
        "are free); run this again to go on from here"
      return 1
    }
    broken=$(_spkid_broken_packages "$python") || return 1
    if [ -n "$broken" ]; then
      _spkid_say "installing again what an interrupted installation left incomplete:" $broken
      # shellcheck disable=SC2086  # one word a package
      _spkid_pip "$python" install --ignore-installed --no-deps $broken || return 1
    fi
  fi
  rm -f "$root/.venv/.complete"
  _spkid_pip "$python" install --quiet --no-deps --no-build-isolation --config-settings editable_mode=compat \
    -e "$root" || { _spkid_say "spkid could not be installed into $root/.venv"; return 1; }
  _spkid_stamp "$root" >"$root/.venv/.complete.tmp" && mv "$root/.venv/.complete.tmp" "$root/.venv/.complete"
}

_spkid_environment() {
  local root=$1 lock status=0
  _spkid_on_path "$root" && return 0
  if [ "$(cat "$root/.venv/.complete" 2>/dev/null)" != "$(_spkid_stamp "$root")" ]; then
    [ -w "$root" ] && exec {lock}>"$root/.venv.lock" || { _spkid_say "$root is not writable, and spkid is not installed"; return 1; }
    if ! flock -n "$lock"; then
      _spkid_say "waiting for another process that is building $root/.venv"
      flock "$lock"
    fi
    if [ "$(cat "$root/.venv/.complete" 2>/dev/null)" != "$(_spkid_stamp "$root")" ]; then
      _spkid_build "$root" || status=1
    fi
    exec {lock}>&-
    [ "$status" = 0 ] || return 1
  fi
  export VIRTUAL_ENV=$root/.venv PATH=$root/.venv/bin:$PATH
  unset PYTHONHOME
}

_spkid_environment "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)" || return 1
unset -f _spkid_say _spkid_on_path _spkid_stamp _spkid_find_python _spkid_broken_packages _spkid_pip _spkid_build \
  _spkid_environment

export LC_ALL=C                                # sort, join and awk compare bytes, as all our files do
export PYTHONUNBUFFERED=1                      # logs grow line by line
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" # recipes run jobs side by side: one core each unless told otherwise
