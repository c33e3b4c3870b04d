# A private Redis (or Valkey). Sourced by compose/local.

prepare_redis() {
    mkdir -p "$STATE_DIR/redis"
    remember_secret redis_password
}

# The password goes in by a file, where no list of processes shows it.
launch_redis() {
    cat >"$STATE_DIR/redis/redis.conf" <<END
bind 127.0.0.1
port ${SETTINGS[redis_port]}
requirepass ${SETTINGS[redis_password]}
dir "$STATE_DIR/redis"
daemonize no
appendonly yes
appendfsync everysec
save ""
maxmemory 1gb
maxmemory-policy noeviction
END
    start_process redis redis_answers "$REDIS_SERVER" "$STATE_DIR/redis/redis.conf"
}

# It answers, knows our password, has loaded its data, and is the process that we started.
redis_answers() {
    local answer
    answer=$(ask_redis 2>/dev/null) || return 1
    [[ $answer == *$'\nprocess_id:'"$LAUNCHED"$'\r\n'* && $answer == *$'\nloading:0\r\n'* ]]
}

# Prints what INFO says, over a plain connection: the client program may be missing.
ask_redis() {
    # shellcheck disable=SC2016  # $1 is for the inner shell
    timeout 3 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" && cat >&3 && cat <&3' _ "${SETTINGS[redis_port]}" \
        <<<"AUTH ${SETTINGS[redis_password]}"$'\nINFO server\nINFO persistence\nQUIT'
}

stop_redis() { end_process redis TERM 30; }
