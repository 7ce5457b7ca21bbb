# Sourced by run.sh (". utils/miniature.sh") after parse_options.sh, where mini was empty by default: small sizes for a
# corpus that local/miniature.py has made, which leaves a file MINIATURE in it, and the published ones for all others.
# Afterwards mini is true or false, whether --mini said so or the corpus did.

case $mini in
  true | false) ;;
  "")
    mini=false
    if [ -n "$corpus" ] && [ -f "$corpus/MINIATURE" ]; then
      mini=true
      echo "$corpus is a miniature: narrow networks, few epochs (--mini false: the real sizes)"
    fi
    ;;
  *) echo "$0: error: --mini is true or false, not '$mini'" >&2; exit 1 ;;
esac
