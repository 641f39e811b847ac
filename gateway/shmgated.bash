# shmgated.bash: what bash offers behind the word shmgated: the options that its --help tells, and files behind --config.
_shmgated() {
    local daemon=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]-} previous=${COMP_WORDS[COMP_CWORD - 1]} word
    local options=()
    COMPREPLY=()

    # bash takes --config=FILE for three words.
    if [[ $current == = ]]; then
        current='' previous=${COMP_WORDS[COMP_CWORD - 1]}
    elif [[ $previous == = ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]-}
    fi
    if [[ $previous == --config || $previous == -c ]]; then
        compopt -o filenames 2>/dev/null
        readarray -t COMPREPLY < <(compgen -f -- "$current")
        return 0
    fi
    readarray -t options < <("$daemon" --help 2>/dev/null | sed -nE 's/^ +(-[A-Za-z], )?(--[a-z-]+).*/\2/p')
    for word in "${options[@]}"; do
        if [[ $word == "$current"* ]]; then
            COMPREPLY+=("$word")
        fi
    done
    return 0
}
complete -F _shmgated shmgated
