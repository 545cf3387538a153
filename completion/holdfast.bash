# Bash completion of holdfast. It asks the program itself (--help), so it holds no list of its own.

# The command lines of a help text: "holdfast NOUN [VERB] ...", one a line.
_holdfast_commands()
{
    "$1" --help 2>/dev/null | sed -n 's/^  holdfast //p'
}

# Words in small letters only: nouns and verbs are, what they take is not.
_holdfast_nouns()
{
    _holdfast_commands "$1" | awk '{ print $1 }' | sort -u
}

_holdfast_verbs()
{
    _holdfast_commands "$1" | awk -v noun="$2" '$1 == noun && $2 ~ /^[a-z-]+$/ { print $2 }'
}

# "--name" or "--name VALUE" lines of one command's help.
_holdfast_options()
{
    "$@" --help 2>/dev/null | sed -n 's/^ *\(--[a-z][a-z-]*\).*/\1/p'
}

_holdfast_takes_value()
{
    local option=$1
    shift
    "$@" --help 2>/dev/null | grep -q -- "^ *$option VALUE$"
}

# What can be asked of the node completes too, when it answers at once.
_holdfast_keyrings()
{
    "$@" --json keyring list 2>/dev/null | grep -o '"name":"[^"]*"' | cut -d '"' -f 4
}

_holdfast_nodes()
{
    "$@" --json node list 2>/dev/null | grep -o '"name":"[^"]*"' | cut -d '"' -f 4
}

_holdfast_sites()
{
    "$@" --json node list 2>/dev/null | grep -o '"site":"[^"]*"' | cut -d '"' -f 4 | sort -u
}

_holdfast_keys()
{
    local keyring=$1
    shift
    "$@" key list "$keyring" 2>/dev/null | sed "s|^|$keyring/|"
}

_holdfast_word()
{
    local noun=$1 verb=$2 place=$3 current=$4
    shift 4
    case "$noun $verb $place" in
    "key state 1")
        printf "%s\n" activate suspend resume deactivate compromise
        ;;
    "key list 0" | "keyring show 0" | "keyring change 0" | "keyring rotate 0")
        _holdfast_keyrings "$@"
        ;;
    "node show 0" | "node drain 0" | "node remove 0")
        _holdfast_nodes "$@"
        ;;
    "site promote 0")
        _holdfast_sites "$@"
        ;;
    key\ *\ 0 | "why  0" | "what-if  0" | "bench  0")
        if [[ $current == */* ]]; then
            _holdfast_keys "${current%%/*}" "$@"
        else
            _holdfast_keyrings "$@" | sed 's|$|/|'
        fi
        ;;
    "policy show 0" | "policy put 0" | "policy remove 0")
        "$@" policy list 2>/dev/null
        ;;
    "policy put 1" | "drill verify 0" | "node accept 0" | "node approve 0" | "node revoke 0")
        compgen -f -- "$current"
        ;;
    "drill show 0")
        "$@" --json drill list 2>/dev/null | grep -o '"id":"[0-9a-f]*"' | cut -d '"' -f 4
        ;;
    "approval give 0")
        "$@" --json approval list 2>/dev/null | grep -o '"id":"[0-9a-f]*"' | cut -d '"' -f 4
        ;;
    esac
}

# Offers the lines of standard input that begin with what was typed. Not by compgen -W, which would
# expand them: names of keys come from other people.
_holdfast_offer()
{
    local current=$1 line

    while IFS= read -r line; do
        if [[ -n $line && $line == "$current"* ]]; then
            COMPREPLY+=("$(printf '%q' "$line")")
        fi
    done
}

# Lines as the next item of the list with commas that was begun.
_holdfast_behind()
{
    local begun="" line

    if [[ $1 == *,* ]]; then
        begun=${1%,*},
    fi
    while IFS= read -r line; do
        printf '%s\n' "$begun$line"
    done
}

# What the option before takes; fails when it takes nothing we know.
_holdfast_value()
{
    local option=$1 current=$2
    shift 2
    case $option in
    --dir | --trail | --store-directory)
        mapfile -t COMPREPLY < <(compgen -d -- "$current")
        ;;
    --*-file | --node-key | --anchor | --public-key | --receipt | --config | --store-passfile | --store-ca | --store-certificate | --store-key)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        ;;
    --to | --store)
        _holdfast_offer "$current" < <(printf '%s\n' postgres sqlite)
        ;;
    --store-when-fewer)
        _holdfast_offer "$current" < <(printf '%s\n' refuse allow)
        ;;
    --role)
        _holdfast_offer "$current" < <(printf '%s\n' key-admin key-user auditor operator)
        ;;
    --approve-*)
        _holdfast_offer "$current" < <(printf '%s\n' yes no)
        ;;
    --keyring)
        _holdfast_offer "$current" < <(_holdfast_keyrings "$@")
        ;;
    --serve-on)
        _holdfast_offer "$current" < <(_holdfast_nodes "$@" | _holdfast_behind "$current")
        ;;
    *)
        return 1
        ;;
    esac
}

_holdfast()
{
    local -a words=("${COMP_WORDS[@]}")
    local cword=$COMP_CWORD

    COMPREPLY=()
    # Addresses have colons, at which bash splits words.
    if declare -F _get_comp_words_by_ref >/dev/null; then
        _get_comp_words_by_ref -n : words cword
    fi

    local current=${words[cword]} program=${words[0]} noun="" verb="" place=0 i word
    local -a node=("$program") command=("$program")

    for ((i = 1; i < cword; i++)); do
        word=${words[i]}
        if [[ $word == --dir || $word == --server ]]; then
            node+=("$word" "${words[i + 1]}")
            ((i++))
        elif [[ $word == --* ]]; then
            if [[ -n $noun ]] && _holdfast_takes_value "$word" "${command[@]}"; then
                ((i++))
            fi
        elif [[ -z $noun ]]; then
            noun=$word
            command+=("$noun")
        elif [[ -z $verb && -n $(_holdfast_verbs "$program" "$noun") ]]; then
            verb=$word
            command+=("$verb")
        else
            ((place++))
        fi
    done

    if _holdfast_value "${words[cword - 1]}" "$current" "${node[@]}"; then
        return
    fi
    if [[ -z $noun ]]; then
        _holdfast_offer "$current" < <(
            _holdfast_nouns "$program"
            printf '%s\n' --dir --server --json --help --version
        )
    elif [[ -z $verb && $current != -* && -n $(_holdfast_verbs "$program" "$noun") ]]; then
        _holdfast_offer "$current" < <(
            _holdfast_verbs "$program" "$noun"
            echo --help
        )
    elif [[ $current == -* ]]; then
        _holdfast_offer "$current" < <(
            _holdfast_options "${command[@]}"
            printf '%s\n' --dir --server --json --help
        )
    else
        _holdfast_offer "$current" < <(_holdfast_word "$noun" "$verb" "$place" "$current" "${node[@]}")
        [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace 2>/dev/null
    fi
    return 0
}

complete -F _holdfast holdfast
