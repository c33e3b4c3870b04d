# Finds the programs of the stack, and installs what is missing where that can be done. Sourced by compose/local.

readonly POSTGRES_AT_LEAST=15 REDIS_AT_LEAST=7 ANVIL_VERSION=1.7.1

need_commands() {
    local command
    for command in curl flock setsid setpriv gzip perl find grep od; do
        command -v "$command" >/dev/null || die "the command '$command' is missing (Debian: apt-get install curl util-linux gzip perl findutils grep coreutils)"
    done
    [[ -r /proc/self/stat && -r /proc/net/tcp ]] || die "needs Linux with /proc"
}

# One install at a time, also when two stacks of a checkout start together.
find_tools() {
    make_folder "$TOOLS_DIR"
    exec 8>"$TOOLS_DIR/lock"
    flock -w "$INSTALL_SECONDS" 8 || die "another install in $TOOLS_DIR does not end"
    PG_BIN=$(find_postgres) || { install_postgres; PG_BIN=$(find_postgres) || die "PostgreSQL is still missing after its install"; }
    REDIS_SERVER=$(find_redis) || { install_redis; REDIS_SERVER=$(find_redis) || die "Redis is still missing after its install"; }
    ANVIL=$(find_anvil) || { install_anvil; ANVIL=$(find_anvil) || die "anvil is still missing after its install"; }
    exec 8>&-
}

# Prints the folder of the PostgreSQL programs: that of the version a data directory was made with, else the newest.
find_postgres() {
    local folder version wanted="" found=""
    [[ -f $PG_DATA/PG_VERSION ]] && wanted=$(<"$PG_DATA/PG_VERSION")
    for folder in "${QUITTANCE_PG_BIN_DIR:-}" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin "$(pg_config --bindir 2>/dev/null)" \
        "$(dirname "$(command -v initdb || echo /none/none)")"; do
        [[ -x $folder/postgres && -x $folder/initdb && -x $folder/psql ]] || continue
        version=$("$folder/postgres" --version | grep -oE '[0-9]+' | head -n 1)
        ((version >= POSTGRES_AT_LEAST)) || continue
        if [[ -n $wanted ]]; then
            [[ $version == "$wanted" ]] && printf '%s\n' "$folder" && return 0
        elif [[ -z $found ]] || ((version > ${found%% *})); then
            found="$version $folder"
        fi
    done
    [[ -n $found ]] && printf '%s\n' "${found#* }"
}

find_redis() {
    local program version
    for program in "${REDIS_SERVER_BIN:-}" "$TOOLS_DIR/redis-server" "$(command -v redis-server)" "$(command -v valkey-server)"; do
        [[ -x $program ]] || continue
        version=$("$program" --version | sed -nE 's/.* v=([0-9]+).*/\1/p')
        ((${version:-0} >= REDIS_AT_LEAST)) && printf '%s\n' "$program" && return 0
    done
    return 1
}

find_anvil() {
    local program
    for program in "${ANVIL_BIN:-}" "$(packaged_anvil)"; do
        [[ -x $program ]] || continue
        "$program" --version | grep -qF "Version: $ANVIL_VERSION" && printf '%s\n' "$program" && return 0
    done
    return 1
}

# What npm calls this machine.
npm_machine() {
    case $(uname -m) in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) die "there is no anvil package for $(uname -m); set ANVIL_BIN to an anvil $ANVIL_VERSION" ;;
    esac
}

# The program inside the npm package, which is started directly: the package's own wrapper leaves an orphan behind.
packaged_anvil() {
    printf '%s\n' "$TOOLS_DIR/anvil-$ANVIL_VERSION/node_modules/@foundry-rs/anvil-linux-$(npm_machine)/bin/anvil"
}

install_anvil() {
    command -v npm >/dev/null || die "anvil $ANVIL_VERSION is missing and so is npm to install it with.
  Install Node.js with npm (Debian: apt-get install nodejs npm), or set ANVIL_BIN to an anvil $ANVIL_VERSION."
    say "installing anvil $ANVIL_VERSION from npm into $TOOLS_DIR"
    local folder=$TOOLS_DIR/anvil-$ANVIL_VERSION machine
    machine=$(npm_machine)
    # Packages' install scripts stay blocked: the program needs none. The lock file holds the checksum for amd64.
    local install=(npm ci)
    [[ $machine == amd64 ]] || install=(npm install --no-save "@foundry-rs/anvil-linux-$machine@$ANVIL_VERSION")
    rm -rf "$folder" "$folder.new"
    mkdir -p "$folder.new"
    [[ $machine != amd64 ]] || cp "$LIBRARY/anvil/package.json" "$LIBRARY/anvil/package-lock.json" "$folder.new/"
    (cd "$folder.new" && "${install[@]}" --ignore-scripts --no-audit --no-fund --loglevel=error >&2) ||
        die "npm could not install anvil $ANVIL_VERSION"
    mv "$folder.new" "$folder"
}

can_install_packages() {
    [[ $(id -u) == 0 && ${QUITTANCE_LOCAL_INSTALL:-yes} != no ]] && command -v apt-get >/dev/null
}

install_packages() {
    say "installing Debian packages: $*"
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >&2 || {
        apt-get update >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >&2
    } || die "apt-get could not install: $*"
}

# The package redis-tools holds the server's program under the name of a tool, and, unlike the package redis-server,
# no service that would be started and enabled on this machine.
install_redis() {
    can_install_packages || die "Redis $REDIS_AT_LEAST or newer is missing.
  Debian: apt-get install redis-server (or valkey-server), or set REDIS_SERVER_BIN to the program."
    install_packages redis-tools
    ln -sf "$(command -v redis-check-rdb)" "$TOOLS_DIR/redis-server"
}

# The package makes and starts a cluster of its own unless it is told not to.
install_postgres() {
    can_install_packages || die "PostgreSQL $POSTGRES_AT_LEAST or newer is missing.
  Debian: apt-get install postgresql, or set QUITTANCE_PG_BIN_DIR to the folder of postgres, initdb and psql."
    local note=/etc/postgresql-common/createcluster.d/quittance-local.conf
    mkdir -p "${note%/*}"
    printf 'create_main_cluster = false\n' >"$note"
    install_packages postgresql
    rm -f "$note"
}
