# Tab completion of train.py, evaluate.py and the other scripts in bash and zsh, for the current shell: `. ./completion.sh`

# Prints what fits the last of the words "python SCRIPT WORD …"; fails if SCRIPT is none of this project.
_lightning_experiments_ask() {
    case "${2##*/}" in
        train.py | evaluate.py | predict.py | export.py | report.py | compare.py | check_data.py) ;;
        *) return 1 ;;
    esac
    [ -f "$2" ] && [ -f "$(dirname -- "$2")/completion.sh" ] || return 1
    "$1" "$2" --complete "${@:3}" 2>/dev/null
}

if [ -n "$ZSH_VERSION" ]; then
    _lightning_experiments() {
        local -a found
        local answer
        if answer=$(_lightning_experiments_ask "${(@Q)words[1,CURRENT]}"); then
            found=("${(@f)answer}")
            if [ -n "$answer" ]; then
                compadd -S '' -- "${found[@]}"
            else # a path, perhaps behind a key
                compset -P '*='
                _files
            fi
        elif (($+functions[_python])); then
            _python
        else
            _files
        fi
    }
    (($+functions[compdef])) || { autoload -Uz compinit && compinit -u; }
    compdef _lightning_experiments python python3
else
    _lightning_experiments() {
        local line="${COMP_LINE:0:COMP_POINT}" word answer before
        local -a words
        read -ra words <<<"$line"
        case "$line" in *[[:space:]]) words+=("") ;; esac
        word="${words[${#words[@]} - 1]}"
        COMPREPLY=()
        answer=$(_lightning_experiments_ask "${words[@]}") || return
        # Readline replaces only what is behind the last of these characters.
        before="${word%"${word##*[=:]}"}"
        case "$COMP_WORDBREAKS" in *=*) ;; *) before="" ;; esac
        while IFS= read -r found; do
            [ -n "$found" ] && COMPREPLY+=("${found#"$before"}")
        done <<<"$answer"
    } # without an answer, bash completes paths
    complete -o nospace -o bashdefault -o default -F _lightning_experiments python python3
fi
