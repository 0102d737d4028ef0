#!/bin/sh

# Prints the table of known answers:
#     flag, salt ("-": none, the flag's name), key in hex, seed, hash, bucket
#
# The seeds come from xxhsum.  It cannot hash with a seed, so the hashes come
# from the program $1, which calls the xxHash library of the system; that
# program is checked against xxhsum with every key and seed 0.

set -eu

oracle=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

unseeded() {
    xxhsum -H3 < "$1" 2> /dev/null | grep -oE '[0-9a-f]{16}'
}

# the key is an argument of printf
row() {
    flag=$1
    salt=$2

    printf '%b' "$3" > "$dir/key"
    answer "$flag" "$salt"
}

answer() {
    flag=$1
    salt=$2

    if [ "$salt" = - ]; then
        printf '%s' "$flag" > "$dir/salt"
    else
        printf '%s' "$salt" > "$dir/salt"
    fi

    plain=$($oracle 0 < "$dir/key")

    if [ "${plain%%	*}" != "$(unseeded "$dir/key")" ]; then
        echo "$oracle and xxhsum differ" >&2
        exit 1
    fi

    seed=$(unseeded "$dir/salt")
    hex=$(od -An -v -tx1 "$dir/key" | tr -d ' \n')

    printf '%s\t%s\t%s\t%s\t%s\n' \
           "$flag" "$salt" "$hex" "$seed" "$($oracle "$seed" < "$dir/key")"
}

echo '# made by known_answers.sh: flag salt key(hex) seed hash bucket'

row support - alice
row support - bob
row support - carol
row support - 'user-1'
row support - 'user-2'
row support - '1'
row support - '42'
row support - 'a'
row support - 'alice@example.com'
row support - '550e8400-e29b-41d4-a716-446655440000'
row support - 'Alice'
row support - 'a b'
row support - 'a\tb'
row support - 'J\0303\0274rgen'
row support - '\0343\0203\0246\0343\0203\0274\0343\0202\0266\0343\0203\0274'
row support - '\0360\0237\0220\0244'
row support - '\0000'
row support - '\0377\0376\0000\0001\0200'
row support - 'a"\\b'
row support 2026-07 alice
row support 2026-07 bob
row support 'région' alice
row support s alice
row support '0123456789012345678901234567890123456789' alice
row checkout - alice
row checkout - bob
row checkout support alice
row a - b1
row ab - 1
row A.b_c-9 - alice

# the first and the last bucket

row support - user-37448
row support - user-14484

# the lower half of the hash decides

row support - user-358058
row support - user-517573
row support - user-605478

# the lengths at which XXH3 changes its way of working

for len in 3 4 8 9 16 17 128 129 240 241 256 1024 1025 8192; do
    printf "%${len}s" '' | tr ' ' k > "$dir/key"
    answer support -
done

head -c 8192 /dev/zero > "$dir/key"
answer support 2026-07
