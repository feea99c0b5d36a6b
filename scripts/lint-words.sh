#!/bin/bash
# Fails where a page, a comment or a message uses a word that docs/words.md replaces, or English that reads as translated.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0

# Prints the places of a pattern, and remembers that there are some.
search() { # search NAME PATTERN FILE...
  local name=$1 pattern=$2 places
  shift 2
  places=$(grep --with-filename --line-number --perl-regexp "$pattern" "$@" /dev/null)
  case $? in
    0) ;;
    1) return 0 ;;
    *) places="grep cannot use the pattern $pattern" ;;
  esac
  printf '%s:\n%s\n' "$name" "$places"
  failed=1
}

mapfile -t code < <(git ls-files 'src/*.rs')
mapfile -t pages < <(git ls-files README.md CHANGELOG.md 'docs/*.md' | grep -v -e '^docs/decisions/' -e '^docs/words.md')

# The last column of docs/words.md: regular expressions in backquotes.
patterns=0
while IFS= read -r pattern; do
  patterns=$((patterns + 1))
  # Keys and values of JSON keep their old names beside the new ones.
  search "docs/words.md has another word for this ($pattern)" "^(?!.*(JSON|serde|json|\"mended\"|\`mended\`|mended:|keys\.mended|let keys = )).*$pattern" \
    "${code[@]}" "${pages[@]}"
done < <(sed -n 's/^|.*|.*| *\(`.*\) *|$/\1/p' docs/words.md | grep -o '`[^`]*`' | tr -d '`' | sed 's/\\|/|/g')
if ((patterns == 0)); then
  echo 'no pattern was read from docs/words.md'
  failed=1
fi

# Patterns of translated English (docs/words.md).
english='(?<![Tt]here )\bis no [a-z]|\bshall\b|\banew\b|\bleave\b.{1,30}\baway\b|\bmeanwhile\b'
search 'write "is not a", "must", "again", "omit"' "$english" "${code[@]}" "${pages[@]}"
search 'a doc comment begins with a verb or a noun phrase, and stands alone' \
  '^\s*//[/!] (What|Whether|Where|How|Who|The same|It|That) ' "${code[@]}"
exit "$failed"
