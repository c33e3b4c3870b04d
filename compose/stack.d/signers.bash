# The keys that settlement signs with. Sourced by compose/stack.

readonly SIGNERS=2
# A hundred coins each.
readonly SIGNER_BALANCE=0x56bc75e2d63100000

SIGNER_KEYS=$STATE_DIR/signer-keys

# Makes the keys once: 256 random bits each. All but about one in 2^128 of them are keys.
make_signers() {
    [[ ! -s $SIGNER_KEYS ]] || return 0
    local index keys=()
    for ((index = 0; index < SIGNERS; index++)); do
        keys+=("0x$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')")
    done
    local IFS=,
    printf 'eip155:84532=%s\n' "${keys[*]}" >"$SIGNER_KEYS.new"
    mv -f "$SIGNER_KEYS.new" "$SIGNER_KEYS"
}

# Gas money is nobody's on this chain.
fund_signers() {
    local addresses address
    addresses=$(QUITTANCE_SIGNER_KEYS_FILE=$SIGNER_KEYS "$PROGRAM" signer addresses | grep -oE '0x[0-9a-fA-F]{40}') ||
        die "the signers' addresses cannot be told from $SIGNER_KEYS"
    for address in $addresses; do
        ask_chain anvil_setBalance "[\"$address\",\"$SIGNER_BALANCE\"]" || die "anvil does not fund signer $address"
    done
}

# ask_chain METHOD PARAMS: whether the chain did it.
ask_chain() {
    local answer
    answer=$(curl --silent --fail --noproxy '*' --max-time 10 --header 'content-type: application/json' \
        --data "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"$1\",\"params\":$2}" "$QUITTANCE_NETWORKS__84532__RPC_URLS") &&
        [[ $answer == *'"result"'* ]]
}
