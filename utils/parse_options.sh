# Sourced by run.sh (". utils/parse_options.sh") after its variables have their defaults: "--nj 8" or "--nj=8" sets
# nj=8, "--stop-stage 3" sets stop_stage=3. Only variables that already exist can be set. Booleans are true or false.
# "--config FILE" sources FILE first, unless the script has a variable config of its own, which is then set like any other.
# "--help" prints the comment at the top of the script.
# The positional arguments are left in "$@".

# "bash egs/mini/run.sh" has gone into its own directory by now
_options_script=$0
[ -r "$_options_script" ] || _options_script=${0##*/}

_options_fail() { echo "$0: error: $*" >&2; exit 1; }

_options_set() {
  local _options_key=${1//-/_} _options_value=$2 _options_known  # no name that an option may have
  [[ $_options_key =~ ^[a-z][A-Za-z0-9_]*$ ]] || _options_fail "--$1 is not the name of an option"
  if [ -z "${!_options_key+set}" ]; then
    _options_known=$(sed -nE '/parse_options\.sh/q; s/^([a-z][A-Za-z0-9_]*)=.*/--\1/p' "$_options_script" | sort -u | tr _ - | tr '\n' ' ')
    _options_fail "unknown option --$1; known are: ${_options_known:-none}"
  fi
  if [[ ${!_options_key} =~ ^(true|false)$ ]]; then
    [[ $_options_value =~ ^(true|false)$ ]] || _options_fail "--$1 is true or false, not '$_options_value'"
  elif [[ ${!_options_key} =~ ^-?[0-9]+$ ]]; then
    [[ $_options_value =~ ^-?[0-9]+([.][0-9]+)?$ ]] || _options_fail "--$1 is a number, not '$_options_value'"
  fi
  printf -v "$_options_key" %s "$_options_value"
}

for ((_options_index = 1; _options_index < $#; _options_index++)); do
  if [ "${!_options_index}" = --config ] && [ -z "${config+set}" ]; then
    _options_next=$((_options_index + 1))
    [ -r "${!_options_next}" ] || _options_fail "--config ${!_options_next}: no such file"
    . "${!_options_next}"
  fi
done

while [ $# -gt 0 ]; do
  case $1 in
    --help | -h)
      awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$_options_script"
      exit 0
      ;;
    --config)
      [ $# -gt 1 ] || _options_fail "--config needs a value"
      [ -z "${config+set}" ] || _options_set config "$2"
      shift 2
      ;;
    --) shift; break ;;
    --*=*) _options_name=${1#--}; _options_set "${_options_name%%=*}" "${1#*=}"; shift ;;
    --*)
      [ $# -gt 1 ] || _options_fail "$1 needs a value"
      _options_set "${1#--}" "$2"
      shift 2
      ;;
    *) break ;;
  esac
done

unset -f _options_set _options_fail
unset _options_script _options_index _options_next _options_name

# "--plan true", in scripts that have the variable plan, changes nothing: every program sees SPKID_PLAN and only tells
# whether it would run and why, and so do the commands below.
if [ "${plan:-false}" = true ]; then
  SPKID_PLAN=$(mktemp)
  export SPKID_PLAN
  trap 'command rm -f "$SPKID_PLAN"' EXIT
  for _options_name in cp ln mkdir mv rm touch; do
    eval "$_options_name() { echo \"$_options_name: would run: $_options_name \$*\"; }"
  done
  unset _options_name
fi
