# A private PostgreSQL. Sourced by compose/local.

# PostgreSQL refuses to run as root, so root runs it as an unprivileged user, who must be able to reach its data.
AS_POSTGRES=()
POSTGRES_USER=$(id -un 2>/dev/null || id -u)
if [[ $(id -u) == 0 ]]; then
    if id -u postgres >/dev/null 2>&1; then POSTGRES_USER=postgres; else POSTGRES_USER=nobody; fi
    AS_POSTGRES=(setpriv --reuid="$POSTGRES_USER" --regid="$(id -g "$POSTGRES_USER")" --clear-groups --no-new-privs)
fi

# Sets PG_HOME (the folder that we give to the unprivileged user) and PG_DATA.
#
# Below a folder that this user may not enter (a checkout in /root, say) no data directory can be: then it is in
# /var/tmp, under a name made from the state directory's, and stays there.
locate_postgres() {
    PG_HOME=$STATE_DIR/postgres
    if [[ -n ${SETTINGS[postgres_in_var_tmp]:-} ]] ||
        { [[ $(id -u) == 0 && ! -d $PG_HOME ]] && ! "${AS_POSTGRES[@]}" test -x "$STATE_DIR"; }; then
        remember postgres_in_var_tmp yes
        PG_HOME=/var/tmp/quittance-postgres-$(sha256sum <<<"$STATE_DIR" | cut -c1-16)
    fi
    PG_DATA=$PG_HOME/data
}

prepare_postgres() {
    if [[ ! -d $PG_HOME ]]; then
        mkdir -m 700 "$PG_HOME"
        give_to_postgres "$PG_HOME"
    fi
    # /var/tmp is everybody's: a folder that somebody else made there must not become ours.
    local owner
    owner=$(stat -c %u "$PG_HOME")
    [[ $owner == "$(id -u "$POSTGRES_USER")" ]] || die "$PG_HOME belongs to user $owner"
    remember_secret postgres_password
    remember_secret database_password
    [[ -f $PG_DATA/PG_VERSION ]] || init_postgres
}

give_to_postgres() {
    [[ $(id -u) != 0 ]] || chown "$POSTGRES_USER:" "$1"
}

init_postgres() {
    say "making a PostgreSQL data directory in $PG_DATA"
    local password_file=$PG_HOME/password
    rm -rf "$PG_DATA" "$PG_DATA.new"
    printf '%s\n' "${SETTINGS[postgres_password]}" >"$password_file"
    give_to_postgres "$password_file"
    (cd / && "${AS_POSTGRES[@]}" "$PG_BIN/initdb" --pgdata="$PG_DATA.new" --username=postgres --encoding=UTF8 --no-locale \
        --auth=scram-sha-256 --pwfile="$password_file") >>"$LOG_DIR/postgres.log" 2>&1 9>&- ||
        die "initdb failed; see $LOG_DIR/postgres.log"
    rm -f "$password_file"
    mv "$PG_DATA.new" "$PG_DATA"
}

# As durable as production: what is committed is on the disk.
launch_postgres() {
    local options=(
        port="${SETTINGS[postgres_port]}" listen_addresses=127.0.0.1 unix_socket_directories=
        fsync=on synchronous_commit=on full_page_writes=on
        max_connections=300 shared_buffers=256MB max_wal_size=4GB
        log_min_messages=warning log_line_prefix='%m [%p] '
    )
    local arguments=() option
    for option in "${options[@]}"; do
        arguments+=(-c "$option")
    done
    start_process postgres postgres_answers "${AS_POSTGRES[@]}" "$PG_BIN/postgres" -D "$PG_DATA" "${arguments[@]}"
}

# It answers, it knows our password without being told (SCRAM), and its data is ours.
postgres_answers() { [[ $(ask_postgres 'show data_directory' 2>/dev/null) == "$PG_DATA" ]]; }

# ask_postgres SQL: as the superuser. The statement goes in by a pipe, where no list of processes shows it.
ask_postgres() {
    PGPASSWORD=${SETTINGS[postgres_password]} PGCONNECT_TIMEOUT=3 "$PG_BIN/psql" --no-psqlrc --quiet --tuples-only --no-align \
        --set=ON_ERROR_STOP=1 --host=127.0.0.1 --port="${SETTINGS[postgres_port]}" --username=postgres --dbname=postgres <<<"$1"
}

# The product's own role is no superuser: what it can do here, it can do in production.
create_database() {
    if [[ $(ask_postgres "select count(*) from pg_roles where rolname = 'quittance'") == 0 ]]; then
        ask_postgres "create role quittance login password '${SETTINGS[database_password]}'"
    fi
    if [[ $(ask_postgres "select count(*) from pg_database where datname = 'quittance'") == 0 ]]; then
        ask_postgres "create database quittance owner quittance"
    fi
}

# Fast shutdown: open transactions are rolled back, and a checkpoint is written.
stop_postgres() { end_process postgres INT 60; }
