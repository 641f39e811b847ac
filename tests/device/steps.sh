# shellcheck shell=bash
# What the lives in tests/device say and count with. Sourced inside the booted machine, by life.
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

# check WHAT COMMAND...: a line that tells whether it succeeded.
check() {
    local what=$1
    shift
    if "$@"; then
        echo "ok   $what"
    else
        echo "FAIL $what"
        systemctl status --no-pager -l shmgated.service 2>&1 | tail -n 12 | sed 's/^/     /'
    fi
}

# wait_for COMMAND...: until it succeeds, or a minute has passed.
wait_for() {
    for _ in $(seq 300); do
        if "$@" >/dev/null 2>&1; then
            return 0
        fi
        sleep 0.2
    done
    return 1
}

fails() { ! "$@"; }

# The service.
is_active() { [ "$(systemctl is-active shmgated.service)" = active ]; }
link_is() { shmgate stats --json | grep -q "\"link\": \"$1\""; }
main_pid() { systemctl show -P MainPID shmgated.service; }
is_pid() { [ "$(main_pid)" = "$1" ]; }
new_pid() { is_active && [ "$(main_pid)" != "$1" ] && [ "$(main_pid)" != 0 ]; }
log_says() { journalctl -u shmgated.service | grep -q "$1"; }

# The ledger of the channel telemetry. field NAME...: their sum.
field() { shmgate stats --json | python3 -c '
import json, sys
channel = next(c for c in json.load(sys.stdin)["channels"] if c["name"] == "telemetry")
print(sum(sum(channel[name].values()) if name == "dropped" else channel[name] for name in sys.argv[1:]))' "$@"; }
field_is() { [ "$(field "$1")" = "$2" ]; }
queued_below() { [ "$(field queued)" -lt "$1" ]; }
adds_up() { [ "$(field written)" = "$(field delivered queued spooled dropped)" ]; }

# What the subscriber has got, each once; the programs' lines begin with a letter each, and then count. Those of a
# letter are complete up to a number.
received() { sort -u /root/received | grep -c "^${1:-}"; }
received_is() { [ "$(received "$1")" = "$2" ]; }
complete_to() { grep "^$1" /root/received | sort -u | sed "s/^$1//" | sort -n | head -n "$2" | cmp -s - <(seq "$2"); }

# Bursts: lines b1, b2 and so on over both boots; /root/bursts has the number of the last one.
bursts() { cat /root/bursts 2>/dev/null || echo 0; }
write_burst() {
    local former
    former=$(bursts)
    seq $((former + 1)) $((former + $1)) | sed 's/^/b/' | shmgate write telemetry -l -W 30 || return 1
    echo $((former + $1)) >/root/bursts
}
bursts_arrived() { received_is b "$(bursts)"; }

# A program that is attached all the time and writes a line every 50 ms, LETTER1, LETTER2 and so on; stop_writer ends
# it.
start_writer() {
    local letter=$1
    rm -f /root/halt
    (
        n=0
        while [ ! -e /root/halt ]; do
            n=$((n + 1))
            echo "$letter$n"
            sleep 0.05
        done
    ) | shmgate write telemetry -l -W 60 &
    writer=$!
}
stop_writer() {
    touch /root/halt
    wait "$writer"
}
# How many more of its lines arrive is shown by the numbers: at least 20 after now.
flows_on() {
    local letter=$1 before
    before=$(received "$letter")
    wait_for more_than "$letter" $((before + 20))
}
more_than() { [ "$(received "$1")" -gt "$2" ]; }

start_subscriber() {
    mosquitto_sub -c -i watcher -q 1 -t demo/telemetry >>/root/received &
    subscriber=$!
}

install() {
    # What is here may be the same version as the one before.
    dpkg -i /root/"$1"/shmgate_*.deb /root/"$1"/libshmgate1_*.deb /root/"$1"/libshmgate-dev_*.deb \
        /root/"$1"/python3-shmgate_*.deb >/root/dpkg.log 2>&1 ||
        { cat /root/dpkg.log; return 1; }
}

# All files where packages and services put some, but for what the machine itself writes all the time.
files() {
    find /etc /usr /opt /srv /home /var/lib /var/spool /dev/shm -xdev \
        \( -path /var/lib/dpkg -o -path /var/lib/mosquitto -o -path /var/lib/systemd -o -path /etc/machine-id \) \
            -prune -o -print |
        grep -v '^/etc/[a-z]*-$\|^/etc/.pwd.lock$\|^/usr/local/lib/python\|^/var/lib/apt'
    find /run -name '*shmgate*'
}

# Keys of an authority, of the broker and of the gateway, in the place of those that are there.
make_certificates() {
    local folder=/etc/device-keys new=/root/new-keys name
    rm -rf "$new"
    mkdir -p "$new" "$folder" || return 1
    local key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
    openssl req -x509 "${key[@]}" -keyout $new/ca.key -out $new/ca.pem -days 1 -subj "/CN=authority $1" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign || return 1
    for name in broker gateway; do
        openssl req -new "${key[@]}" -keyout $new/$name.key -out $new/$name.csr -subj "/CN=$name $1" &&
            openssl x509 -req -in $new/$name.csr -CA $new/ca.pem -CAkey $new/ca.key -CAcreateserial \
                -days 1 -out $new/$name.pem \
                -extfile <(printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n') || return 1
    done
    chown mosquitto $new/broker.*
    chgrp shmgate $new/gateway.key
    chmod 0640 $new/gateway.key
    for name in ca.pem broker.key broker.pem gateway.key gateway.pem; do
        mv "$new/$name" "$folder/$name" || return 1
    done
    rm -rf "$new"
}
