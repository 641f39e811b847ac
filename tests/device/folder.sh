# shellcheck shell=bash
# Folders with a Debian in them, for tests/device/run and tests/device/arm64, which source this.
cache=${SHMGATE_DEVICE_CACHE:-$PWD/build/device}

nspawn=(systemd-nspawn --quiet --register=no --keep-unit)

# inside FOLDER COMMAND...: without booting, with the network of this machine.
inside() {
    local folder=$1
    shift
    "${nspawn[@]}" --pipe -D "$folder" "$@" </dev/null
}

# prepare SUITE FOLDER PACKAGES: a folder with these, of all architectures that they name; one that is there gets what
# it does not have yet.
prepare() {
    local suite=$1 folder=$2 packages=$3
    mkdir -p "$cache"
    if [ "$(cat "$folder/.ready" 2>/dev/null)" != "$packages" ]; then
        : >"$folder.log"
        if [ ! -e "$folder/.ready" ]; then
            rm -rf "$folder"
            debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,procps "$suite" "$folder" \
                >>"$folder.log" 2>&1 || return 1
        fi
        # The lists of packages are as old as the folder.
        inside "$folder" env DEBIAN_FRONTEND=noninteractive packages="$packages" sh -c '
            case $packages in *:arm64*) dpkg --add-architecture arm64 ;; esac
            apt-get update -q && apt-get install -q -y --no-install-recommends $packages' \
                >>"$folder.log" 2>&1 || return 1
        echo "$packages" >"$folder/.ready"
    fi
    # The smallest Debian has no such file; each that somebody uses has.
    echo "127.0.0.1 localhost" >"$folder/etc/hosts"
}

# copy_source FOLDER: this source, as it is here, to /root/source.
copy_source() {
    rm -rf "$1/root/source"
    mkdir -p "$1/root/source"
    tar -c --exclude=./build --exclude=./.git . | tar -x -C "$1/root/source"
}

# tally FILE NAME: show the checks in FILE and add them to passed and failed.
tally() {
    local ok bad
    cat "$1" 2>/dev/null
    ok=$(grep -c '^ok ' "$1" 2>/dev/null)
    bad=$(grep -c '^FAIL ' "$1" 2>/dev/null)
    passed=$((passed + ${ok:-0}))
    failed=$((failed + ${bad:-0}))
    grep -q '^the life has ended$' "$1" 2>/dev/null || fail "$2: the life did not come to its end"
}
