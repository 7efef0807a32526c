# bash completion for lucid(1). The commands come from `lucid --help`, the options from the help
# of the command, so that this file knows as much as the lucid that is installed.

_lucid()
{
    local current=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]:-} tool=lucid
    command -v "${COMP_WORDS[0]}" >/dev/null && tool=${COMP_WORDS[0]}
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ] || { [ "$COMP_CWORD" -eq 2 ] && [ "$command" = help ]; }; then
        mapfile -t COMPREPLY < <(compgen -W "$(_lucid_commands "$tool") help --help --version" \
            -- "$current")
        return
    fi
    local i
    for ((i = 2; i < COMP_CWORD; i++)); do
        if [ "${COMP_WORDS[i]}" = -- ]; then
            _lucid_program $((i + 1))
            return
        fi
    done
    case $current in
        -*)
            mapfile -t COMPREPLY < <(compgen -W "$(_lucid_options "$tool" "$command")" \
                -- "$current")
            ;;
        *) _lucid_argument "$command" "$current" ;;
    esac
}

_lucid_commands()
{
    "$1" --help 2>/dev/null | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p'
}

_lucid_options()
{
    "$1" help "$2" 2>/dev/null | grep -o -e '^  --[a-z-]*' | tr -d ' '
    echo --help
}

# What a command works on: a program for run, bench and tour, else the number
# of a process or a core.
_lucid_argument()
{
    case $1 in
        run | bench | tour) mapfile -t COMPREPLY < <(compgen -c -- "$2") ;;
        ctl)
            local words=(/proc/[0-9]*)
            words=("${words[@]#/proc/}")
            [ "$COMP_CWORD" -eq 2 ] || words=(purge trim stats options set)
            mapfile -t COMPREPLY < <(compgen -W "${words[*]}" -- "$2")
            ;;
        *)
            local processes=(/proc/[0-9]*)
            mapfile -t COMPREPLY < <(
                compgen -W "${processes[*]#/proc/}" -- "$2"
                [ "$1" = verify ] || [ "$1" = top ] || compgen -f -- "$2"
            )
            ;;
    esac
}

# Behind --, complete as if the program had been typed alone.
_lucid_program()
{
    if [ "$COMP_CWORD" -eq "$1" ]; then
        mapfile -t COMPREPLY < <(compgen -c -- "${COMP_WORDS[COMP_CWORD]}")
    elif declare -F _command_offset >/dev/null; then
        _command_offset "$1"
    else
        mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
    fi
}

complete -F _lucid lucid
