#!/bin/sh
# Puts the test token and what pays with it at their usual addresses of a development chain (docs: contracts/README.md).
# usage: contracts.sh RPC-URL [ARTIFACTS]
set -eu

url=$1
artifacts=${2:-/contracts/artifacts}

# ask METHOD PARAMS: the parameters may be long, so they go in by a pipe.
ask() {
    printf '{"jsonrpc":"2.0","id":1,"method":"%s","params":%s}' "$1" "$2" |
        curl --silent --show-error --fail --max-time 20 --retry 5 --retry-connrefused \
            --header 'content-type: application/json' --data-binary @- "$url"
}

# install NAME ADDRESS
install() {
    code=$(sed -n 's/^ *"runtimeBytecode": "\(0x[0-9a-f]*\)",*$/\1/p' "$artifacts/$1.json")
    test -n "$code" || { echo "no bytecode in $artifacts/$1.json" >&2; exit 1; }
    answer=$(ask anvil_setCode "[\"$2\",\"$code\"]")
    case $answer in
    *'"result"'*) echo "$1 is at $2" ;;
    *) echo "the chain does not take $1: $answer" >&2; exit 1 ;;
    esac
}

install TestUsdc 0x036CbD53842c5426634e7929541eC2318f3dCF7e
install Multicall3 0xcA11bde05977b3631167028862bE2a173976CA11
install TestPermit2 0x000000000022D473030F116dDEE9F6B43aC78BA3
install TestExactPermit2Proxy 0x402085c248EeA27D92E8b30b2C58ed07f9E20001
