# Processes, ports and waiting. Sourced by compose/local.

# Ports are taken from below the range that Linux hands out to outgoing connections (32768 and up).
readonly FIRST_PORT=20000 LAST_PORT=31999
readonly PORT_TRIES=200

say() { printf '%s\n' "$*" >&2; }

die() {
    say "compose/local: $*"
    exit 1
}

# wait_until SECONDS COMMAND...: runs the command until it succeeds; fails when the time is over.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
}

# The moment a process started, in clock ticks since boot: with its id, it names one process for ever.
process_start_time() {
    local stat fields
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    # The name in brackets may hold anything, so count from the last bracket.
    read -ra fields <<<"${stat##*) }"
    # A zombie has ended; it only waits to be noticed.
    [[ ${fields[0]} != Z ]] || return 1
    printf '%s\n' "${fields[19]}"
}

# record_pid SERVICE PID
record_pid() {
    printf '%s %s %s\n' "$2" "$(process_start_time "$2")" "$STATE_DIR" >"$RUN_DIR/$1.pid.new"
    mv -f "$RUN_DIR/$1.pid.new" "$RUN_DIR/$1.pid"
}

# Prints the process id of a service that runs; fails when it does not. An id that by now belongs to another process
# is not taken for ours, nor is one that came here with a copy of another stack's folder.
pid_of() {
    local pid recorded folder started
    { read -r pid recorded folder <"$RUN_DIR/$1.pid"; } 2>/dev/null || return 1
    [[ $folder == "$STATE_DIR" ]] || return 1
    started=$(process_start_time "$pid") || return 1
    [[ $started == "$recorded" ]] || return 1
    printf '%s\n' "$pid"
}

is_running() { pid_of "$1" >/dev/null; }

is_gone() { ! is_running "$1"; }

# end_process SERVICE SIGNAL SECONDS: asks a service to end, and kills it when it has not after that time.
end_process() {
    local pid
    if pid=$(pid_of "$1"); then
        kill -s "$2" "$pid" 2>/dev/null || true
        if ! wait_until "$3" is_gone "$1"; then
            say "$1 did not end within $3 s: killing it"
            kill_process "$1"
        fi
    fi
    rm -f "$RUN_DIR/$1.pid"
}

kill_process() {
    local pid
    if pid=$(pid_of "$1"); then
        kill -s KILL "$pid" 2>/dev/null || true
        wait_until 10 is_gone "$1" || die "$1 (process $pid) does not end after SIGKILL"
    fi
    rm -f "$RUN_DIR/$1.pid"
}

# Prints the inodes of the sockets that listen on a TCP port, on any address.
listening_sockets() {
    local port file line fields
    printf -v port '%04X' "$1"
    for file in /proc/net/tcp /proc/net/tcp6; do
        [[ -r $file ]] || continue
        while read -r line; do
            read -ra fields <<<"$line"
            # 0A is the state LISTEN.
            if [[ ${fields[3]} == 0A && ${fields[1]##*:} == "$port" ]]; then
                printf '%s\n' "${fields[9]}"
            fi
        done < <(grep -F ":$port " "$file")
    done
}

port_is_free() { [[ -z $(listening_sockets "$1") ]]; }

# process_listens PID PORT: whether it is this process, and no other, that answers on the port.
process_listens() {
    local inode
    for inode in $(listening_sockets "$2"); do
        [[ -z $(find "/proc/$1/fd" -maxdepth 1 -lname "socket:\[$inode\]" 2>/dev/null) ]] || return 0
    done
    return 1
}

# choose_port SERVICE: settles on the remembered port when nobody has taken it, else on a new one.
choose_port() {
    local port=${SETTINGS[$1_port]:-} try
    for ((try = 0; try < PORT_TRIES; try++)); do
        if [[ -n $port ]] && port_is_free "$port"; then
            remember "$1_port" "$port"
            return 0
        fi
        port=$((FIRST_PORT + (RANDOM * 32768 + RANDOM) % (LAST_PORT - FIRST_PORT + 1)))
    done
    die "found no free TCP port between $FIRST_PORT and $LAST_PORT"
}

# launch SERVICE COMMAND...: starts a command away from this terminal, this folder and our lock. It is recorded before
# it becomes the program, so that none is ever lost from sight.
launch() {
    local service=$1
    shift
    (
        cd /
        record_pid "$service" "$BASHPID"
        exec setsid "$@"
    ) >>"$LOG_DIR/$service.log" 2>&1 </dev/null 9>&- &
    LAUNCHED=$!
    wait_until 10 is_recorded_or_over "$service" || die "$service does not begin"
}

is_recorded_or_over() { [[ $(pid_of "$1") == "$LAUNCHED" ]] || ! process_start_time "$LAUNCHED" >/dev/null; }

# start_process SERVICE READY COMMAND...: launches a service and waits until READY says that it is this process that
# answers. Fails when it ends before or takes too long.
start_process() {
    local service=$1 ready=$2 deadline=$((SECONDS + START_SECONDS))
    shift 2
    launch "$service" "$@"
    while ((SECONDS < deadline)); do
        process_start_time "$LAUNCHED" >/dev/null || return 1
        if "$ready"; then
            return 0
        fi
        sleep 0.05
    done
    say "$service does not answer after $START_SECONDS s"
    kill_process "$service"
    return 1
}

# start_service SERVICE: starts it, again while that fails: with another port when the one chosen was taken at the last
# moment, or when what a killed predecessor left behind is gone.
start_service() {
    local deadline=$((SECONDS + START_SECONDS))
    while ((SECONDS < deadline)); do
        choose_port "$1"
        if "launch_$1"; then
            return 0
        fi
        rm -f "$RUN_DIR/$1.pid"
        sleep 0.5
    done
    say "the end of $LOG_DIR/$1.log:"
    tail -n 15 "$LOG_DIR/$1.log" >&2 || true
    die "$1 could not be started"
}
