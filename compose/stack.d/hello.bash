# What a person can do with the stack that runs. Sourced by compose/stack.

KEY_FILE=$STATE_DIR/api-key
PAYMENT_FILE=$STATE_DIR/payment.json

say_hello() {
    local key
    provide_key
    key=$(<"$KEY_FILE")
    "$PROGRAM" demo payment >"$PAYMENT_FILE.new" || die "no payment could be signed; see: compose/stack status"
    mv -f "$PAYMENT_FILE.new" "$PAYMENT_FILE"
    cat <<END

payments       http://$QUITTANCE_INGRESS__LISTEN/v1/payments
status, hooks  http://$QUITTANCE_RESULTS__LISTEN/v1
chain          $QUITTANCE_NETWORKS__84532__RPC_URLS (eip155:84532)
key            $key

Post a payment that a buyer with test USDC has signed (good for half an hour; compose/stack hello signs another):

  curl -sS http://$QUITTANCE_INGRESS__LISTEN/v1/payments -H 'Authorization: Bearer $key' \\
    -H 'Content-Type: application/json' -H 'Idempotency-Key: "hello-$RANDOM$RANDOM"' -d @$PAYMENT_FILE

and see what becomes of it:

  curl -sS 'http://$QUITTANCE_RESULTS__LISTEN/v1/payments?limit=1' -H 'Authorization: Bearer $key'

END
}

# The key of the last time, unless the ledger does not know it (any more).
provide_key() {
    [[ ! -s $KEY_FILE ]] || ! knows_key "$(<"$KEY_FILE")" || return 0
    "$PROGRAM" key create --name local | sed -nE 's/.*"key":"([^"]+)".*/\1/p' >"$KEY_FILE.new"
    [[ -s $KEY_FILE.new ]] || die "no key could be made"
    mv -f "$KEY_FILE.new" "$KEY_FILE"
}

# The key goes in by a pipe, where no list of processes shows it.
knows_key() {
    printf 'header = "Authorization: Bearer %s"\n' "$1" |
        curl --silent --fail --noproxy '*' --max-time 10 --output /dev/null --config - "http://$QUITTANCE_RESULTS__LISTEN/v1/payments?limit=1"
}
