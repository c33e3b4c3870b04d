# A private development chain with the test token. Sourced by compose/local.
#
# anvil keeps its chain in memory, and its own dumps rewrite their file in place: killed in the middle, it would leave
# half a chain. So a keeper process beside it asks for the state again and again, and puts each whole answer in the
# place of the one before.

readonly CHAIN_ID=84532
readonly TOKEN_ADDRESS=0x036CbD53842c5426634e7929541eC2318f3dCF7e
readonly MULTICALL_ADDRESS=0xcA11bde05977b3631167028862bE2a173976CA11
readonly PERMIT2_ADDRESS=0x000000000022D473030F116dDEE9F6B43aC78BA3
readonly EXACT_PERMIT2_PROXY_ADDRESS=0x402085c248EeA27D92E8b30b2C58ed07f9E20001
readonly UPTO_PERMIT2_PROXY_ADDRESS=0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002

# Transactions and receipts of this many blocks can be read.
readonly BLOCKS_KEPT=8192

# The keeper rests this many times as long as a save took, so that saving costs at most a tenth of a core, and a
# killed chain forgets at most about three seconds (compose/local.toml relies on that: confirmations).
readonly KEEPER_RESTS=10

# The file "chain" is anvil's state as compressed JSON.
prepare_anvil() {
    mkdir -p "$STATE_DIR/anvil"
    # The keeper of an anvil that has ended, and what a killed one left half-written.
    kill_process anvil-keeper
    rm -f "$STATE_DIR"/anvil/chain.new.*
}

# Whether past states are kept, as told now or at the last start.
#
# Each is a whole copy, and with blocks of a second anvil keeps 1,500 of them whatever number it is given: hundreds of
# megabytes for ten thousand payers. Without them, only the newest state can be called, and nothing can be reorganised.
keeps_states() {
    remember anvil_states "${QUITTANCE_LOCAL_STATES:-${SETTINGS[anvil_states]:-no}}"
    [[ ${SETTINGS[anvil_states]} == yes ]]
}

launch_anvil() {
    local options=(
        --host 127.0.0.1 --port "${SETTINGS[anvil_port]}" --chain-id "$CHAIN_ID" --block-time 1 --gas-limit 300000000
        --transaction-block-keeper "$BLOCKS_KEPT" --quiet --prune-history
    )
    if keeps_states; then
        options+=(1500)
    fi
    if [[ -f $STATE_DIR/anvil/chain ]]; then
        gzip -dc <"$STATE_DIR/anvil/chain" >"$STATE_DIR/anvil/chain.json" || die "$STATE_DIR/anvil/chain is damaged; remove it to begin a new chain"
        options+=(--load-state "$STATE_DIR/anvil/chain.json")
    fi
    HOME=$STATE_DIR/anvil start_process anvil anvil_answers "$ANVIL" "${options[@]}" || return 1
    rm -f "$STATE_DIR/anvil/chain.json"
    install_contract TestUsdc "$TOKEN_ADDRESS"
    install_contract Multicall3 "$MULTICALL_ADDRESS"
    install_contract TestPermit2 "$PERMIT2_ADDRESS"
    install_contract TestExactPermit2Proxy "$EXACT_PERMIT2_PROXY_ADDRESS"
    install_contract TestUptoPermit2Proxy "$UPTO_PERMIT2_PROXY_ADDRESS"
    save_chain || die "the chain could not be saved"
    launch_keeper
}

# ask_anvil METHOD PARAMS: prints the answer's JSON; the parameters may be long, so they go in by a pipe.
ask_anvil() {
    printf '{"jsonrpc":"2.0","id":1,"method":"%s","params":%s}' "$1" "$2" |
        curl --silent --fail --noproxy '*' --max-time "${3:-10}" --header 'content-type: application/json' --data-binary @- \
            "http://127.0.0.1:${SETTINGS[anvil_port]}"
}

anvil_answers() {
    local answer
    process_listens "$LAUNCHED" "${SETTINGS[anvil_port]}" || return 1
    answer=$(ask_anvil eth_chainId '[]' 2>/dev/null) || return 1
    [[ $answer == *"\"$(printf '0x%x' "$CHAIN_ID")\""* ]]
}

# install_contract NAME ADDRESS: puts the code at the address unless it is there.
install_contract() {
    local artefact=$CHECKOUT/contracts/artifacts/$1.json code answer
    code=$(sed -nE 's/^ *"runtimeBytecode": "(0x[0-9a-f]+)",?$/\1/p' "$artefact")
    [[ -n $code ]] || die "no bytecode in $artefact"
    answer=$(ask_anvil eth_getCode "[\"$2\",\"latest\"]") || die "anvil does not say what code is at $2"
    [[ $answer != *"\"$code\""* ]] || return 0
    answer=$(ask_anvil anvil_setCode "[\"$2\",\"$code\"]") || die "anvil does not take the code of $1"
    [[ $answer == *'"result"'* ]] || die "anvil does not take the code of $1: $answer"
}

# Writes the whole state beside the last one and then takes its place; half an answer is told by its checksum.
save_chain() {
    local new=$STATE_DIR/anvil/chain.new.$BASHPID
    if ask_anvil anvil_dumpState '[]' 120 | perl -ne 'BEGIN { $/ = undef } print pack("H*", $1) if /"result":"0x([0-9a-f]+)"/' >"$new" &&
        [[ -s $new ]] && gzip -t <"$new" 2>/dev/null; then
        mv -f "$new" "$STATE_DIR/anvil/chain"
    else
        rm -f "$new"
        return 1
    fi
}

launch_keeper() { launch anvil-keeper "$CHECKOUT/compose/local" keep-chain; }

# The keeper's life: as long as its anvil's.
keep_chain() {
    local anvil began took
    anvil=$(pid_of anvil)
    while [[ $(pid_of anvil) == "$anvil" ]]; do
        began=${EPOCHREALTIME/[.,]/}
        save_chain || say "$(date -u +%FT%TZ) the chain was not saved"
        took=$((${EPOCHREALTIME/[.,]/} - began))
        sleep_microseconds $((took * KEEPER_RESTS > 1000000 ? took * KEEPER_RESTS : 1000000))
    done
}

sleep_microseconds() { sleep "$(($1 / 1000000)).$(printf '%06d' $(($1 % 1000000)))"; }

# Saves the chain when no block can follow: nothing that was mined is lost.
save_last_block() {
    kill_process anvil-keeper
    ask_anvil evm_setIntervalMining '[0]' 5 >/dev/null 2>&1 || return 1
    local before after
    for _ in 1 2 3; do
        before=$(ask_anvil eth_blockNumber '[]') && save_chain && after=$(ask_anvil eth_blockNumber '[]') || return 1
        [[ $before != "$after" ]] || return 0
    done
    return 1
}

stop_anvil() {
    if is_running anvil; then
        save_last_block || say "the chain's newest blocks could not be saved"
    fi
    kill_process anvil-keeper
    end_process anvil TERM 10
}
