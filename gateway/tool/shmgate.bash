# shmgate.bash: what bash offers behind the word shmgate: commands, options, segments and their channels.
#
# Commands, options and the kinds of their values are those that the tool's own --help tells, so that nothing here has to follow them.
# Names in /dev/shm can be anybody's: they are only compared and never expanded, which "compgen -W" would do.

# Offer those of the words $2... that begin with $1.
_shmgate_offer() {
    local begin=$1 word
    shift
    for word in "$@"; do
        if [[ $word == "$begin"* ]]; then
            COMPREPLY+=("$word")
        fi
    done
}

# Print the names of the segments that this user can read.
_shmgate_segments() {
    local file magic
    for file in /dev/shm/*; do
        [[ ${file##*/} =~ ^[A-Za-z0-9_.-]+$ && $file != *.next* && $file != *.damaged* && -f $file && -r $file ]] || continue
        IFS= LC_ALL=C read -r -N 8 magic <"$file" || continue
        [[ $magic != SHMGATE1 ]] || printf '/%s\n' "${file##*/}"
    done 2>/dev/null
}

# Print the names of channels of the segment $2, or of the default one if that is empty. $3: "publish" for those alone.
_shmgate_channels() {
    local json segment=()
    if [[ -n $2 ]]; then
        segment=(-S "$2")
    fi
    json=$("$1" stats --json "${segment[@]}" 2>/dev/null) || return 0
    grep -oE "\{\"name\": \"[A-Za-z0-9_.-]+\", \"direction\": \"${3:-[a-z]+}\"" <<<"$json" | cut -d '"' -f 4
}

# Print the names of the channels that have messages in the spool $2, or in the default one if that is empty.
_shmgate_spooled() {
    local file=()
    if [[ -n $2 ]]; then
        file=(-f "$2")
    fi
    "$1" spool list "${file[@]}" 2>/dev/null | sed -nE '2,$s/^([A-Za-z0-9_.-]+) .*/\1/p' | sort -u
}

# Print the word behind the option $1 in a help text: FILE, SEGMENT, ...; nothing when it takes none.
_shmgate_value_of() {
    sed -nE "s/^ +(-[A-Za-z], )?${1}(, --[a-z-]+)? ([A-Z]+)  .*/\3/p" <<<"$2"
}

# Look at the words before the one at the cursor: sets `skip`, the kind of value that is expected here, `taken`, the words that are neither options
# nor values, and `segment` and `file`, which may also be named behind the cursor. bash takes --segment=NAME for three words. $1: the help text.
_shmgate_look_back() {
    local word number
    for word in "${COMP_WORDS[@]:2:COMP_CWORD-2}"; do
        if [[ $word == = ]]; then
            continue
        elif [[ -n $skip ]]; then
            [[ $skip != SEGMENT ]] || segment=$word
            [[ $skip != FILE ]] || file=$word
            skip=
        elif [[ $word == -S?* ]]; then
            segment=${word#-S}
        elif [[ $word =~ ^-(-[a-z-]+|[A-Za-z])$ ]]; then
            skip=$(_shmgate_value_of "$word" "$1")
        elif [[ $word != -* ]]; then
            taken+=("$word")
        fi
    done
    for ((number = COMP_CWORD + 1; number < ${#COMP_WORDS[@]} - 1; number++)); do
        word=${COMP_WORDS[number + 1]}
        [[ $word != = ]] || word=${COMP_WORDS[number + 2]-}
        [[ ! ${COMP_WORDS[number]} =~ ^(-S|--segment)$ ]] || segment=$word
        [[ ! ${COMP_WORDS[number]} =~ ^(-f|--file)$ ]] || file=$word
    done
}

# Offer values of a kind: the names in capital letters that the help has behind options.
_shmgate_offer_values() {
    local words=()
    case $1 in
    SEGMENT)
        readarray -t words < <(_shmgate_segments)
        _shmgate_offer "$2" "${words[@]}"
        ;;
    FILE)
        compopt -o filenames 2>/dev/null
        readarray -t COMPREPLY < <(compgen -f -- "$2")
        ;;
    esac
}

# Whether the usage lines of the help $1 have a CHANNEL; those with the action $2, if it is not empty.
_shmgate_takes_channel() {
    grep -E '^(Usage:| +shmgate) ' <<<"$1" | grep -Fw -- "${2:-shmgate}" | grep -q CHANNEL
}

_shmgate() {
    local tool=${COMP_WORDS[0]} command=${COMP_WORDS[1]-} current=${COMP_WORDS[COMP_CWORD]-}
    local help skip='' segment='' file='' direction='' taken=() words=() actions=()
    COMPREPLY=()

    if ((COMP_CWORD < 2)); then
        help=$("$tool" --help 2>/dev/null) || return 0
        readarray -t words < <(sed -nE 's/^  ([a-z]+) .*/\1/p' <<<"$help")
        _shmgate_offer "$current" "${words[@]}" --help --version
        return 0
    fi
    if [[ $command == help ]]; then
        readarray -t words < <("$tool" --help 2>/dev/null | sed -nE 's/^  ([a-z]+) .*/\1/p')
        ((COMP_CWORD > 2)) || _shmgate_offer "$current" "${words[@]}"
        return 0
    fi
    help=$("$tool" "$command" --help 2>/dev/null) || return 0
    [[ $current != = ]] || current=
    _shmgate_look_back "$help"
    # Words that the help explains as it explains options are actions, which come first; then a channel, if there is one.
    readarray -t actions < <(sed -nE 's/^  ([a-z]+) .*/\1/p' <<<"$help")
    if [[ -n $skip ]]; then
        _shmgate_offer_values "$skip" "$current"
    elif [[ $current == -* ]]; then
        readarray -t words < <(sed -nE '/^ +-/{s/^ +//; s/  .*//; s/, /\n/; s/[ =][^\n]*//g; p}' <<<"$help")
        _shmgate_offer "$current" "${words[@]}" --help
    elif ((${#actions[@]} > 0 && ${#taken[@]} == 0)); then
        _shmgate_offer "$current" "${actions[@]}"
    elif ((${#taken[@]} == (${#actions[@]} > 0))) && _shmgate_takes_channel "$help" "${taken[0]-}"; then
        if [[ $command == spool ]]; then
            readarray -t words < <(_shmgate_spooled "$tool" "$file")
        else
            [[ $command != write ]] || direction=publish
            readarray -t words < <(_shmgate_channels "$tool" "$segment" "$direction")
        fi
        _shmgate_offer "$current" "${words[@]}"
    fi
    return 0
}
complete -F _shmgate shmgate
