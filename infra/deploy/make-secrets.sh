#!/bin/sh
# Makes the passwords of a deployment, one in each file, in infra/deploy/secrets (or the given folder).
# Existing files stay, so it may be run again, for example after an upgrade that needs one more.
#
# Only its owner can enter the folder. Its files are readable by every user, as containers run as another one.
set -eu
dir=${1:-$(dirname "$0")/secrets}
mkdir -p "$dir"
chmod 700 "$dir"

make() {
  [ -s "$dir/$1" ] || printf %s "$2" >"$dir/$1"
  chmod 644 "$dir/$1"
}
random() { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

for name in redis-admin redis-replica redis-ingest redis-flusher redis-query redis-promoter redis-reader \
  postgres-admin postgres-migrator postgres-flusher jwt-secret grafana-admin; do
  make "$name" "$(random)"
done
# For the migrations, which make the roles.
make postgres-admin-url "postgres://postgres:$(cat "$dir/postgres-admin")@postgres:5432/postgres"
echo "secrets are in $dir"
