# The processes of the roles. Sourced by compose/stack.

# start_role ROLE: starts it unless it runs as it would be started now.
start_role() {
    local fingerprint
    fingerprint=$(fingerprint)
    if is_running "$1"; then
        [[ $(cat "$RUN_DIR/$1.fingerprint" 2>/dev/null) != "$fingerprint" ]] || return 0
        stop_role "$1"
    fi
    start_service "$1"
    printf '%s\n' "$fingerprint" >"$RUN_DIR/$1.fingerprint"
    say "$1 runs"
}

launch_ingress() { launch_role ingress "${SETTINGS[ingress_api_port]}" ingress; }
launch_results() { launch_role results "${SETTINGS[results_api_port]}" results; }
launch_risk() { launch_role risk "" worker risk; }
launch_notifier() { launch_role notifier "" worker notifier; }
launch_reconciler() { launch_role reconciler "" worker reconciler; }

# The one role that is given the keys.
launch_settlement() {
    local -x QUITTANCE_SIGNER_KEYS_FILE=$SIGNER_KEYS
    launch_role settlement "" worker settlement
}

# launch_role ROLE API-PORT ARGUMENTS...: starts the process and waits until it is ready: it answers its API, if it has
# one, and everything that it needs answers it.
launch_role() {
    local -x QUITTANCE_METRICS__LISTEN=127.0.0.1:${SETTINGS[$1_port]}
    AWAITED_HEALTH_PORT=${SETTINGS[$1_port]}
    AWAITED_API_PORT=$2
    start_process "$1" role_is_ready "$PROGRAM" "${@:3}"
}

role_is_ready() {
    process_listens "$LAUNCHED" "$AWAITED_HEALTH_PORT" || return 1
    [[ -z $AWAITED_API_PORT ]] || process_listens "$LAUNCHED" "$AWAITED_API_PORT" || return 1
    curl --silent --fail --noproxy '*' --max-time 5 --output /dev/null "http://127.0.0.1:$AWAITED_HEALTH_PORT/readyz"
}

stop_role() { end_process "$1" TERM "$STOP_SECONDS"; }

# All are asked at once: each may take a while to finish what is under way.
stop_all_roles() {
    # A folder without roles has nothing to stop.
    [[ -d $RUN_DIR ]] || return 0
    open_roles
    local role pid
    for role in "${ROLES[@]}"; do
        ! pid=$(pid_of "$role") || kill -s TERM "$pid" 2>/dev/null || true
    done
    for role in "${ROLES[@]}"; do
        stop_role "$role"
    done
}
