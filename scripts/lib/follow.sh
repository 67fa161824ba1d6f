# shellcheck shell=bash
# The demo's display: scheduled runs with their phases until all have ended. On a terminal a table is drawn over
# itself, elsewhere each change is a line. Sourced, never run.

if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ]; then live=true; else live=false; fi
if $live && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' blue=$'\e[36m' plain=$'\e[0m'
else
    bold='' dim='' red='' green='' blue='' plain=''
fi

# How long after the last run's end its results may take to arrive.
GRACE=60

heading() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }

hide_cursor() { ! $live || printf '\e[?25l'; }
show_cursor() { ! $live || printf '\e[?25h'; }

# What is said below the table, if anything.
note=''

# Follows the occurrences of a plan, as `almanac -o json schedule` prints it. Answers 1 when a run did not end as it
# should: COMPLETED, or as a file says by job, such as {"when-it-snows": "SKIPPED/trigger_false"}. What whoever sources
# this calls `at_each_look` is called with the rows, and may change `note`.
follow() {
    local plan=$1 expected=$2 runs rows='' drawn=0 last noted=''
    declare -A seen=()
    last=$(date -d "$(jq -r 'map(.end) | max' "$plan")" +%s)
    hide_cursor
    while true; do
        check_daemons
        # That there are no runs yet is said on stderr, and shows in the table.
        runs=$(almanac -o json runs list --limit 0 2>/dev/null) || runs=[]
        # The plan names the server's part of a run by its own node, as its record does.
        rows=$(jq -r --slurpfile plan "$plan" --slurpfile expected "$expected" '
            (map({ key: "\(.job) \(.node) \(.scheduledAt)", value: . }) | from_entries) as $runs
            | $plan[0] | sort_by(.start, .job, .node)[]
            | $runs["\(.job) \(.node) \(.start)"] as $run
            | ($run.phase // "WAITING") as $phase | ($expected[0][.job] // "COMPLETED") as $wanted
            | (if .role == "server" then "\(.job) (server)" else .job end) as $name
            | [.start, $name, .node, $phase, $run.reason // "-", $run.exitCode // "-",
                if ["WAITING", "DEPLOYING", "RUNNING", "UPLOADING"] | index($phase) then "open"
                elif $wanted | . == $phase or . == "\($phase)/\($run.reason)" then "good"
                else "bad" end,
                $run.message // "-"]
            | map(tostring) | join("\t")' <<<"$runs")
        at_each_look "$rows"
        if $live; then draw "$rows"; else print_changes "$rows"; fi
        if ! grep -q $'\topen\t' <<<"$rows"; then break; fi
        if [ "$(date +%s)" -gt $((last + GRACE)) ]; then
            say "gave up: some runs have not ended"
            break
        fi
        sleep 0.3
    done
    show_cursor
    ! grep -qE $'\t(open|bad)\t' <<<"$rows" || return 1
    say "each of the $(wc -l <<<"$rows") ended as it should"
}

# To be replaced by whoever has something to do meanwhile.
at_each_look() { :; }

# Draws the table over the one before. A line that is longer than the terminal would take two, so it is cut.
draw() {
    local start job node phase reason code verdict message width said
    width=$(($(tput cols 2>/dev/null || echo 80) - 57))
    [ "$drawn" = 0 ] || printf '\e[%dA' "$drawn"
    drawn=0
    while IFS=$'\t' read -r start job node phase reason code verdict message; do
        said=$(remark)
        [ ${#said} -le "$width" ] || said=${said:0:$((width - 3))}...
        printf '  %s  %-24s %-8s %s%-10s%s %s\e[K\n' "${start:11:8}" "$job" "$node" "$(colour)" "$phase" "$plain" \
            "$dim$said$plain"
        drawn=$((drawn + 1))
    done <<<"$1"
    [ -z "$note" ] || { printf '  %s%s%s\e[K\n' "$blue" "$note" "$plain" && drawn=$((drawn + 1)); }
}

print_changes() {
    local start job node phase reason code verdict message
    if [ "$note" != "$noted" ]; then printf '  %s\n' "$note" && noted=$note; fi
    while IFS=$'\t' read -r start job node phase reason code verdict message; do
        if [ "${seen["$start $job $node"]:-}" != "$phase" ]; then
            seen["$start $job $node"]=$phase
            printf '  %s  %-24s %-8s %-10s %s\n' "${start:11:8}" "$job" "$node" "$phase" "$(remark)"
        fi
    done <<<"$1"
}

# Of a run; the caller's variables say which.
colour() {
    case "$verdict $phase" in
    'open WAITING') printf '%s' "$dim" ;;
    open*) printf '%s' "$blue" ;;
    good*) printf '%s' "$green" ;;
    *) printf '%s' "$red" ;;
    esac
}

# What there is to say of a run beside its phase; the caller's variables say which.
remark() {
    local seconds
    case "$phase" in
    WAITING)
        seconds=$(($(date -d "$start" +%s) - $(date +%s)))
        [ "$seconds" -le 0 ] || printf 'in %d s' "$seconds"
        ;;
    DEPLOYING | RUNNING | UPLOADING) ;;
    *)
        if [ "$reason" = trigger_false ]; then
            # What was seen instead: the condition and how long it was waited for stand in the job.
            printf 'trigger false: %s' "${message##*: }"
        elif [ "$message" != - ]; then
            printf '%s' "$message"
        elif [ "$reason" = exit_code ]; then
            printf 'exit code %s' "$code"
        else
            printf '%s' "${reason//_/ }"
        fi
        ;;
    esac
}
