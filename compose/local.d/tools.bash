# Finds the programs of the stack, and installs what is missing where that can be done. Sourced by compose/local.

readonly POSTGRES_AT_LEAST=15 REDIS_AT_LEAST=7 ANVIL_VERSION=1.7.1

need_commands() {
    ((BASH_VERSINFO[0] >= 5)) || die "needs bash 5 or newer"
    local command
    for command in curl flock setsid setpriv gzip perl find grep od sha256sum timeout; do
        command -v "$command" >/dev/null || die "the program '$command' is missing
  Debian: apt-get install curl util-linux gzip perl-base findutils grep coreutils"
    done
    [[ -r /proc/self/stat && -r /proc/net/tcp ]] || die "needs Linux with /proc"
}

# provide PROGRAM: prints where it is, and installs it before if it is missing.
provide() {
    "find_$1" && return 0
    "install_$1" >&2 || exit 1
    "find_$1" || die "$1 is still missing after its install"
}

# Prints the folder of the PostgreSQL programs: of the version that made the data directory, else the newest.
find_postgres() {
    local folder version wanted="" newest=0 found=""
    [[ ! -f $PG_DATA/PG_VERSION ]] || wanted=$(<"$PG_DATA/PG_VERSION")
    for folder in "${QUITTANCE_PG_BIN_DIR:-}" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
        "$(pg_config --bindir 2>/dev/null)" "$(dirname "$(command -v initdb || echo /none/none)")"; do
        [[ -x $folder/postgres && -x $folder/initdb && -x $folder/psql ]] || continue
        version=$("$folder/postgres" --version | grep -oE '[0-9]+' | head -n 1)
        if ((version >= POSTGRES_AT_LEAST && version > newest)) && [[ $version == "${wanted:-$version}" ]]; then
            newest=$version
            found=$folder
        fi
    done
    [[ -n $found ]] && printf '%s\n' "$found"
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

# The program inside the npm package is started directly: the package's own wrapper leaves an orphan behind.
find_anvil() {
    local program
    for program in "${ANVIL_BIN:-}" \
        "$TOOLS_DIR/anvil-$ANVIL_VERSION/node_modules/@foundry-rs/anvil-linux-$(npm_machine)/bin/anvil"; do
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
    *) uname -m ;;
    esac
}

install_anvil() {
    local folder=$TOOLS_DIR/anvil-$ANVIL_VERSION machine
    machine=$(npm_machine)
    [[ $machine == a??64 ]] || die "there is no anvil package for $machine; set ANVIL_BIN to an anvil $ANVIL_VERSION"
    command -v npm >/dev/null || die "anvil $ANVIL_VERSION is missing, and so is npm to install it with.
  Debian: apt-get install nodejs npm, or set ANVIL_BIN to an anvil $ANVIL_VERSION."
    say "installing anvil $ANVIL_VERSION from npm into $TOOLS_DIR"
    # Packages' install scripts stay blocked: the program needs none. For amd64, a lock file holds the checksum.
    local install=(npm ci)
    [[ $machine == amd64 ]] || install=(npm install --no-save "@foundry-rs/anvil-linux-$machine@$ANVIL_VERSION")
    rm -rf "$folder" "$folder.new"
    mkdir -p "$folder.new"
    [[ $machine != amd64 ]] || cp "$LIBRARY/anvil/package.json" "$LIBRARY/anvil/package-lock.json" "$folder.new/"
    (cd "$folder.new" && "${install[@]}" --ignore-scripts --no-audit --no-fund --loglevel=error) ||
        die "npm could not install anvil $ANVIL_VERSION"
    mv "$folder.new" "$folder"
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
    [[ ! -f $PG_DATA/PG_VERSION ]] || die "the data in $PG_DATA is PostgreSQL $(<"$PG_DATA/PG_VERSION")'s, which is missing.
  Install that version, or give the data up: compose/local destroy"
    can_install_packages || die "PostgreSQL $POSTGRES_AT_LEAST or newer is missing.
  Debian: apt-get install postgresql, or set QUITTANCE_PG_BIN_DIR to the folder of postgres, initdb and psql."
    local note=/etc/postgresql-common/createcluster.d/quittance-local.conf
    mkdir -p "${note%/*}"
    printf 'create_main_cluster = false\n' >"$note"
    local result=0
    (install_packages postgresql) || result=$?
    rm -f "$note"
    return "$result"
}

can_install_packages() {
    [[ $(id -u) == 0 && ${QUITTANCE_LOCAL_INSTALL:-yes} != no ]] && command -v apt-get >/dev/null
}

# Fresh package lists only when the ones at hand do not do.
install_packages() {
    say "installing Debian packages: $*"
    local install=(apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@")
    export DEBIAN_FRONTEND=noninteractive
    (umask 022 && { "${install[@]}" || { apt-get update && "${install[@]}"; }; }) || die "apt-get could not install: $*"
}
