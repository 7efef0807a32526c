#compdef lucid
# zsh completion for lucid(1). The commands come from `lucid --help`, the options from the help of
# the command, so that this file knows as much as the lucid that is installed.

_lucid() {
    local tool=${words[1]}
    (( $+commands[$tool] )) || tool=lucid

    if (( CURRENT == 2 )) || { (( CURRENT == 3 )) && [[ ${words[2]} == help ]] }; then
        local -a known
        known=(${(f)"$($tool --help 2>/dev/null |
            sed -n 's/^  \([a-z][a-z]*\)  *\(.*\)/\1:\2/p')"})
        known+=('help:explain a command')
        _describe -t commands 'lucid command' known
        return
    fi

    local command=${words[2]}
    local dashes=${words[(i)--]}
    if (( dashes < CURRENT )); then
        words=(${words[dashes + 1,-1]})
        (( CURRENT -= dashes ))
        _normal
    elif [[ $PREFIX == -* ]]; then
        local -a options
        options=(${(f)"$($tool help $command 2>/dev/null |
            sed -n 's/^  \(--[a-z-]*\)[^ ]*  *\(.*\)/\1:\2/p')"})
        options+=('--help:explain the command')
        _describe -t options 'option' options
    else
        case $command in
            (run|bench|tour) _command_names -e ;;
            (verify|top) _pids ;;
            (ctl)
                if (( CURRENT == 3 )); then
                    _pids
                else
                    _values action purge trim stats options set
                fi
                ;;
            (*) _alternative 'processes:process:_pids' 'files:core:_files' ;;
        esac
    fi
}

_lucid "$@"
