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

# Follows the occurrences of a plan, as `almanac -o json schedule` prints it. Answers 1 when not every run completed.
follow() {
    local plan=$1 runs rows='' drawn=0 last total
    declare -A seen=()
    total=$(jq length "$plan")
    last=$(date -d "$(jq -r 'map(.end) | max' "$plan")" +%s)
    hide_cursor
    while true; do
        check_daemons
        # That there are no runs yet is said on stderr, and shows in the table.
        runs=$(almanac -o json runs list --limit 0 2>/dev/null) || runs=[]
        rows=$(jq -r --slurpfile plan "$plan" '
            (map({ key: "\(.job) \(.node) \(.scheduledAt)", value: . }) | from_entries) as $runs
            | $plan[0] | sort_by(.start, .job, .node)[]
            | $runs["\(.job) \(.node) \(.start)"] as $run
            | [.start, .job, .node, $run.phase // "WAITING", $run.reason // "-", $run.exitCode // "-", $run.message // "-"]
            | map(tostring) | join("\t")' <<<"$runs")
        if $live; then draw "$rows"; else print_changes "$rows"; fi
        if [ "$(grep -cE $'\t(WAITING|DEPLOYING|RUNNING|UPLOADING)\t' <<<"$rows")" = 0 ]; then break; fi
        if [ "$(date +%s)" -gt $((last + GRACE)) ]; then
            say "gave up: some runs have not ended"
            break
        fi
        sleep 0.3
    done
    show_cursor
    [ "$(grep -cF $'\tCOMPLETED\t' <<<"$rows")" = "$total" ]
}

# Draws the table over the one before.
draw() {
    local start job node phase reason code message colour
    [ "$drawn" = 0 ] || printf '\e[%dA' "$drawn"
    drawn=0
    while IFS=$'\t' read -r start job node phase reason code message; do
        colour=$(colour_of "$phase")
        printf '  %s  %-16s %-9s %s%-10s%s %s\e[K\n' "${start:11:8}" "$job" "$node" "$colour" "$phase" "$plain" \
            "$dim$(remark)$plain"
        drawn=$((drawn + 1))
    done <<<"$1"
}

print_changes() {
    local start job node phase reason code message
    while IFS=$'\t' read -r start job node phase reason code message; do
        if [ "${seen["$start $job $node"]:-}" != "$phase" ]; then
            seen["$start $job $node"]=$phase
            printf '  %s  %-16s %-9s %-10s %s\n' "${start:11:8}" "$job" "$node" "$phase" "$(remark)"
        fi
    done <<<"$1"
}

colour_of() {
    case "$1" in
    COMPLETED) printf '%s' "$green" ;;
    WAITING) printf '%s' "$dim" ;;
    DEPLOYING | RUNNING | UPLOADING) printf '%s' "$blue" ;;
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
        if [ "$message" != - ]; then
            printf '%s' "$message"
        elif [ "$reason" = exit_code ]; then
            printf 'exit code %s' "$code"
        else
            printf '%s' "${reason//_/ }"
        fi
        ;;
    esac
}
