# shellcheck shell=bash
# shellcheck disable=SC2154 # $dir is set by scripts/demo
# The parts of scripts/demo: processes that it starts and stops, and the display. Sourced, never run.

started=()

# Starts a daemon with its log in $dir/logs, apart from the terminal, so that it is stopped by its
# process id and by nothing else.
start() {
    local name=$1
    shift
    setsid "$@" >"$dir/logs/$name.log" 2>&1 </dev/null &
    started+=("$name:$!")
}

alive() { kill -0 "$1" 2>/dev/null; }

# Fails, with the end of its log, when a daemon is gone.
watch_started() {
    local entry
    for entry in "${started[@]}"; do
        alive "${entry#*:}" && continue
        tail -n 15 "$dir/logs/${entry%%:*}.log" >&2
        fail "${entry%%:*} ended (all of its log: $dir/logs/${entry%%:*}.log)"
    done
}

# Stops what was started, the last first, and waits for its end.
stop_started() {
    local index pid
    for ((index = ${#started[@]} - 1; index >= 0; index--)); do
        pid=${started[index]#*:}
        kill "$pid" 2>/dev/null || continue
        for _ in $(seq 100); do
            alive "$pid" || continue 2
            sleep 0.1
        done
        kill -KILL "$pid" 2>/dev/null || true
    done
    started=()
}

# Waits until a command succeeds, for at most so many seconds.
wait_for() {
    local what=$1 seconds=$2 until
    shift 2
    until=$((SECONDS + seconds))
    while ! "$@" >/dev/null 2>&1; do
        watch_started
        [ $SECONDS -lt $until ] || fail "waited $seconds s for $what (logs: $dir/logs)"
        sleep 0.2
    done
}

# The first port from a number on that nobody listens on.
free_port() {
    local port=$1
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
    echo "$port"
}

# The wanted fields of a JSON list of the command, an item a line, in the order in which they are
# wanted. The command writes a field a line, so that no JSON tool is needed.
fields() {
    awk -v wanted="$*" '
        BEGIN { count = split(wanted, names, " ") }
        /^  \{/ { delete values }
        /^    "/ {
            name = $1; gsub(/[":]/, "", name)
            value = $0; sub(/^[^:]*: /, "", value); gsub(/^"|",?$|,$/, "", value)
            values[name] = value
        }
        /^  \}/ {
            line = values[names[1]]
            for (i = 2; i <= count; i++) line = line " " values[names[i]]
            print line
        }'
}

# What is expected and what became of it: `instant job node phase reason id`, a run a line. What has
# no record yet is `scheduled`.
states() {
    {
        sed 's/^/expected /' "$dir/expected"
        # That there are no runs yet is no news.
        almanac -o json runs list --limit 0 2>"$dir/logs/almanac.log" | fields scheduledAt job node phase reason id | sed 's/^/run /'
    } | awk '
        $1 == "expected" { order[++count] = $2 " " $3 " " $4 }
        $1 == "run" { state[$2 " " $3 " " $4] = $5 " " $6 " " $7 }
        END {
            for (i = 1; i <= count; i++) {
                key = order[i]
                print key, (key in state) ? state[key] : "scheduled null -"
            }
        }'
}

# Follows the expected runs until all have ended. On a terminal the table is redrawn in place;
# elsewhere each change is a line.
follow() {
    local until=$((SECONDS + $1)) now before='' drawn=0
    while :; do
        watch_started
        now=$(states) || fail "the runs cannot be listed"
        if [ -t 1 ]; then
            [ "$drawn" = 0 ] || printf '\033[%dA' "$drawn"
            draw <<<"$now"
            drawn=$(wc -l <<<"$now")
        else
            comm -13 <(sort <<<"$before") <(sort <<<"$now") | sort | draw
        fi
        before=$now
        all_ended <<<"$now" && return
        [ $SECONDS -lt $until ] || fail "not every run ended in time (logs: $dir/logs)"
        sleep 0.5
    done
}

all_ended() { ! grep -qE ' (scheduled|DEPLOYING|RUNNING|UPLOADING) '; }

all_completed() { ! grep -qv ' COMPLETED '; }

draw() {
    local instant job node phase reason id colour reset
    while read -r instant job node phase reason id; do
        [ -n "$instant" ] || continue
        colour='' reset=''
        if [ -t 1 ]; then
            reset=$'\033[0m'
            case $phase in
            COMPLETED) colour=$'\033[32m' ;;
            scheduled) colour=$'\033[2m' ;;
            DEPLOYING | RUNNING | UPLOADING) colour=$'\033[36m' ;;
            *) colour=$'\033[31m' ;;
            esac
            # What an earlier, longer line left behind.
            printf '\033[2K'
        fi
        [ "$reason" != null ] || reason=''
        printf '  %s  %-12s %-8s %s%-10s%s %-12s %s\n' \
            "${instant:11:8}" "$job" "$node" "$colour" "$phase" "$reset" "$reason" "${id:0:8}"
    done
}
