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
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    # The name in brackets may hold anything, so count from the last bracket.
    stat=${stat##*) }
    local fields
    read -ra fields <<<"$stat"
    # A zombie has ended; it only waits to be noticed.
    [[ ${fields[0]} != Z ]] || return 1
    printf '%s\n' "${fields[19]}"
}

# record_pid SERVICE PID
record_pid() {
    local started
    started=$(process_start_time "$2") || return 1
    printf '%s %s\n' "$2" "$started" >"$RUN_DIR/$1.pid.new"
    mv -f "$RUN_DIR/$1.pid.new" "$RUN_DIR/$1.pid"
}

# Prints the process id of a service that runs; fails when it does not. An id that by now belongs to another process
# is not taken for ours.
pid_of() {
    local pid recorded now
    { read -r pid recorded <"$RUN_DIR/$1.pid"; } 2>/dev/null || return 1
    now=$(process_start_time "$pid") || return 1
    [[ $now == "$recorded" ]] || return 1
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

# Prints the socket inodes that listen on a TCP port, on any address.
listening_sockets() {
    local port
    printf -v port '%04X' "$1"
    local file line fields
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

# Whether it is this process, and no other, that listens on the port.
process_listens() {
    local inode
    for inode in $(listening_sockets "$2"); do
        find "/proc/$1/fd" -maxdepth 1 -lname "socket:\[$inode\]" 2>/dev/null | grep -q . && return 0
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

# start_process SERVICE READY COMMAND...: starts a command that listens on the service's port, away from this terminal
# and without our lock, and waits until READY says that it answers. Fails when it ends or does not answer in time.
start_process() {
    local service=$1 ready=$2 pid deadline
    shift 2
    setsid "$@" >>"$LOG_DIR/$service.log" 2>&1 </dev/null 9>&- &
    pid=$!
    # A child that has ended at once is found out below.
    record_pid "$service" "$pid" || true
    deadline=$((SECONDS + START_SECONDS))
    while ((SECONDS < deadline)); do
        is_running "$service" || return 1
        if process_listens "$pid" "${SETTINGS[${service}_port]}" && "$ready"; then
            return 0
        fi
        sleep 0.05
    done
    say "$service does not answer after $START_SECONDS s"
    kill_process "$service"
    return 1
}

# start_service SERVICE: tries until it runs, with another port when the one chosen was taken at the last moment.
start_service() {
    local try
    for ((try = 1; try <= START_TRIES; try++)); do
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
