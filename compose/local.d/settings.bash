# What a stack remembers between runs (ports and passwords), and what it tells the programs that use it.
# Sourced by compose/local.

declare -gA SETTINGS=()

load_settings() {
    local key value
    [[ -f $STATE_DIR/settings ]] || return 0
    while IFS='=' read -r key value; do
        SETTINGS[$key]=$value
    done <"$STATE_DIR/settings"
}

# remember KEY VALUE
remember() {
    [[ ${SETTINGS[$1]:-} != "$2" ]] || return 0
    SETTINGS[$1]=$2
    local key
    for key in "${!SETTINGS[@]}"; do
        printf '%s=%s\n' "$key" "${SETTINGS[$key]}"
    done | sort >"$STATE_DIR/settings.new"
    mv -f "$STATE_DIR/settings.new" "$STATE_DIR/settings"
}

# remember_secret KEY: keeps the secret there is, or makes one of 128 random bits.
remember_secret() {
    [[ -z ${SETTINGS[$1]:-} ]] || return 0
    remember "$1" "$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
}

# The variables for the programs that use this stack, one KEY=value per line.
write_env() {
    local postgres=127.0.0.1:${SETTINGS[postgres_port]} redis=127.0.0.1:${SETTINGS[redis_port]}
    cat >"$STATE_DIR/env.new" <<END
DATABASE_URL=postgres://quittance:${SETTINGS[database_password]}@$postgres/quittance
QUITTANCE_PG_ADMIN_URL=postgres://postgres:${SETTINGS[postgres_password]}@$postgres/postgres
REDIS_URL=redis://:${SETTINGS[redis_password]}@$redis/0
QUITTANCE_RPC_URL=http://127.0.0.1:${SETTINGS[anvil_port]}
QUITTANCE_CHAIN_ID=$CHAIN_ID
QUITTANCE_TOKEN=$TOKEN_ADDRESS
QUITTANCE_MULTICALL=$MULTICALL_ADDRESS
QUITTANCE_PG_BIN_DIR=$PG_BIN
ANVIL_BIN=$ANVIL
REDIS_SERVER_BIN=$REDIS_SERVER
END
    mv -f "$STATE_DIR/env.new" "$STATE_DIR/env"
}

# The same as shell commands, for `eval "$(compose/local env)"`.
print_env() {
    [[ -f $STATE_DIR/env ]] || die "there is no stack in $STATE_DIR yet; run: compose/local up"
    local key value service
    while IFS='=' read -r key value; do
        printf 'export %s=%q\n' "$key" "$value"
    done <"$STATE_DIR/env"
    for service in "${SERVICES[@]}"; do
        is_running "$service" || say "compose/local: $service does not run"
    done
}
