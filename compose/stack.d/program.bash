# The program of the roles, and the variables that it is run with. Sourced by compose/stack.

# Builds the program in the profile of the tests, so that both share what is compiled.
build_program() {
    if [[ -n ${QUITTANCE_BIN:-} ]]; then
        locate_program
        return 0
    fi
    command -v cargo >/dev/null || die "cargo is missing; see https://rustup.rs"
    say "building quittance"
    (cd "$CHECKOUT" && cargo build --quiet --package quittance) 9>&- || die "quittance does not build"
    locate_program
}

# Sets PROGRAM.
locate_program() {
    PROGRAM=${QUITTANCE_BIN:-$(target_folder)/debug/quittance}
    [[ -x $PROGRAM ]] || die "there is no $PROGRAM; run: compose/stack up"
}

# Where cargo puts what it builds; its settings may have moved that.
target_folder() {
    (cd "$CHECKOUT" && cargo metadata --format-version 1 --no-deps --offline 9>&-) | sed -nE 's/.*"target_directory":"([^"]*)".*/\1/p'
}

# The two roles that sellers talk to have a port for that; all have one for health and metrics.
choose_api_ports() {
    is_running ingress || choose_port ingress_api
    is_running results || choose_port results_api
}

# Exports what every role, and the demo, is configured by: the file, and what only this stack knows. Keys that sign are
# not among it.
load_variables() {
    [[ -f $LOCAL_DIR/env && -n ${SETTINGS[results_api_port]:-} ]] || die "there is no stack in $LOCAL_DIR yet; run: compose/stack up"
    local key value rpc_url=""
    while IFS='=' read -r key value; do
        case $key in
        DATABASE_URL | REDIS_URL) export "$key=$value" ;;
        QUITTANCE_RPC_URL) rpc_url=$value ;;
        esac
    done <"$LOCAL_DIR/env"
    # Meant for compose/local: no setting of the program's.
    export -n QUITTANCE_LOCAL_STATES
    export QUITTANCE_CONFIG=$CHECKOUT/compose/local.toml
    export QUITTANCE_NETWORKS__84532__RPC_URLS=$rpc_url
    export QUITTANCE_INGRESS__LISTEN=127.0.0.1:${SETTINGS[ingress_api_port]}
    export QUITTANCE_RESULTS__LISTEN=127.0.0.1:${SETTINGS[results_api_port]}
    # Status URLs lead to the role that answers them: no proxy stands before the two.
    export QUITTANCE_INGRESS__PUBLIC_URL=http://$QUITTANCE_RESULTS__LISTEN
}

readonly VARIABLES=(DATABASE_URL REDIS_URL QUITTANCE_CONFIG QUITTANCE_NETWORKS__84532__RPC_URLS
    QUITTANCE_INGRESS__LISTEN QUITTANCE_RESULTS__LISTEN QUITTANCE_INGRESS__PUBLIC_URL)

# As shell commands, for `eval "$(compose/stack env)"`.
print_variables() {
    local name
    for name in "${VARIABLES[@]}"; do
        printf 'export %s=%q\n' "$name" "${!name}"
    done
}

# What a role was started with, in one word: another word means that it has to be started anew.
fingerprint() {
    { stat -L -c '%d %i %Y' "$PROGRAM" && print_variables && cat "$QUITTANCE_CONFIG"; } | sha256sum | cut -c1-16
}
