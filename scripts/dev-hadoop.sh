#!/usr/bin/env bash
# A real Hadoop on this machine: NameNode, DataNode, ResourceManager, N NodeManagers, ZooKeeper, on request Kafka.
# Each is a daemon of its own on loopback, from Maven artifacts; several clusters can run side by side, one per directory.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${FLOTT_CACHE:-$HOME/.cache/flott}
me=$(id -un)
host=127.0.0.1
node_mb=4096
node_vcores=8

usage() {
  cat <<'U'
usage: scripts/dev-hadoop.sh COMMAND [--dir DIR]

  start [--nodes N] [--kafka] [--conf KEY=VALUE]…
                 start what is not running (N >= 3 NodeManagers, default 3) and wait until the cluster is healthy
  stop           stop every daemon and what runs in containers, keep the data
  status         the daemons with pid, resident memory and address
  env            print the exports a client needs: eval "$(scripts/dev-hadoop.sh env)"
  kill NAME      kill -9 one daemon: nn dn rm nm1 nm2 … zk kafka
  restart NAME   stop one daemon if it runs, start it again on its old ports, wait until it is healthy
  logs APPLICATION
                 the aggregated logs of an application that has ended, as `yarn logs` prints them
  clean          stop and delete the cluster's directory

DIR is the cluster's data directory, by default ${FLOTT_CACHE:-$HOME/.cache/flott}/dev-hadoop.
--conf adds a property to core-site.xml (or hdfs-site.xml for dfs.*, yarn-site.xml for yarn.*) of all daemons and clients.
U
}

die() { printf 'dev-hadoop: %s\n' "$*" >&2; exit 1; }
say() { printf 'dev-hadoop: %s\n' "$*" >&2; }

# shellcheck source=dev-hadoop/config.sh
. "$here/dev-hadoop/config.sh"
# shellcheck source=dev-hadoop/daemons.sh
. "$here/dev-hadoop/daemons.sh"

# ---- settings remembered in the directory ----------------------------------------------------------------------------

# Ports are a block of consecutive numbers below the kernel's ephemeral range, so that no outgoing connection takes the
# port of a daemon that is being restarted. A block is claimed under the cache's lock, and free again once its cluster
# was cleaned.
port_is_taken() { grep -qsi "^ *[0-9]*: [0-9A-F]*:$(printf '%04X' "$1") " /proc/net/tcp /proc/net/tcp6; }

block_is_free() { # FIRST
  local claim="$cache/ports/$1" port
  if [ -f "$claim" ] && [ -f "$(cat "$claim")/settings" ]; then return 1; fi
  for ((port = $1; port < $1 + 32; port++)); do
    if port_is_taken "$port"; then return 1; fi
  done
}

claim_ports() {
  local first=$((16000 + RANDOM % 500 * 32)) tries
  mkdir -p "$cache/ports"
  exec 8>"$cache/ports/lock"
  flock 8
  for ((tries = 0; tries < 500; tries++)); do
    if block_is_free "$first"; then
      printf '%s\n' "$dir" >"$cache/ports/$first"
      first_port=$first
      write_settings # before the lock goes, because the claim is valid only with them
      exec 8>&-
      return
    fi
    first=$((16000 + (first - 16000 + 32) % 16000))
  done
  die "found no free block of 32 ports between 16000 and 32000"
}

name_ports() {
  local port=$first_port name
  for name in nn_rpc nn_http dn_data dn_http dn_ipc rm_rpc rm_sched rm_track rm_admin rm_http zk_port \
    kafka_port kafka_controller nm_rpc nm_localizer nm_http nm_collector; do
    printf -v "$name" %d "$port"
    port=$((port + 1))
  done
}

write_settings() {
  printf 'nodes=%d\nfirst_port=%d\nkafka=%d\n' "$nodes" "$first_port" "$kafka" >"$dir/settings.new"
  mv "$dir/settings.new" "$dir/settings"
}

load_settings() {
  [ -f "$dir/settings" ] || die "there is no cluster in $dir (start one with: scripts/dev-hadoop.sh start --dir $dir)"
  # shellcheck source=/dev/null
  . "$dir/settings"
  name_ports
}

# Reads the settings, or makes them at the first start; the options of this call win over what was remembered.
prepare_settings() {
  mkdir -p "$dir/run" "$dir/logs"
  nodes=3 kafka=0 first_port=0
  # shellcheck source=/dev/null
  if [ -f "$dir/settings" ]; then . "$dir/settings"; fi
  nodes=${opt_nodes:-$nodes}
  if [ "$opt_kafka" = 1 ]; then kafka=1; fi
  if ((first_port == 0)); then claim_ports; else write_settings; fi
  name_ports
  if ((${#opt_conf[@]})); then printf '%s\n' "${opt_conf[@]}" >"$dir/extra.conf"; fi
}

# ---- jars ------------------------------------------------------------------------------------------------------------

fetch_profile() { # PROFILE
  local target="$jars/$1" temporary
  if [ -d "$target" ]; then return; fi
  say "fetching the jars of $1 with Maven"
  temporary=$(mktemp -d "$jars/.$1.XXXXXX")
  if ! mvn -B -ntp -q -f "$here/dev-hadoop/pom.xml" "-P$1" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$temporary" >"$temporary.log" 2>&1; then
    tail -n 30 "$temporary.log" >&2
    rm -rf "$temporary" "$temporary.log"
    die "Maven could not fetch the jars of $1"
  fi
  chmod 755 "$temporary"
  mv -T "$temporary" "$target"
  rm -f "$temporary.log"
}

fetch_jars() {
  local profiles=(hadoop hdfs-web zookeeper) profile
  if ((kafka)); then profiles+=(kafka); fi
  mkdir -p "$jars"
  exec 8>"$jars/.lock"
  flock 8
  for profile in "${profiles[@]}"; do fetch_profile "$profile"; done
  exec 8>&-
}

# ---- commands --------------------------------------------------------------------------------------------------------

require_tools() {
  local tool
  for tool in java mvn curl flock setsid; do
    command -v "$tool" >/dev/null || die "$tool is missing (scripts/install-deps.sh says what to install)"
  done
}

# One start or restart at a time in a directory. `stop` does not take the lock: it must work beside a hanging start.
lock_directory() {
  mkdir -p "$dir"
  exec 9>"$dir/.lock"
  flock -w 300 9 || die "another start or restart of $dir has been running for 5 minutes"
}

make_directories() {
  local entry
  for entry in /tmp:1777 /data:1777 /out:1777 /user:755 "/user/$me:755" /user/alice:755 /yarn:755 /yarn/app-logs:1777; do
    webhdfs PUT "${entry%:*}?op=MKDIRS&permission=${entry#*:}" >/dev/null || die "cannot make ${entry%:*} in HDFS"
  done
  webhdfs PUT "/user/alice?op=SETOWNER&owner=alice" >/dev/null || die "cannot give /user/alice to alice"
}

start_cluster() {
  local began=$SECONDS i
  require_tools
  lock_directory
  prepare_settings
  fetch_jars
  write_configuration
  launch zk
  launch rm
  for ((i = 1; i <= nodes; i++)); do launch "nm$i"; done
  if ((kafka)); then format_kafka; launch kafka; fi
  format_namenode
  launch nn
  launch dn
  wait_healthy nn
  wait_healthy dn
  make_directories
  for i in $(daemons); do wait_healthy "$i"; done
  say "healthy after $((SECONDS - began)) s: $nodes NodeManagers, ResourceManager at http://$host:$rm_http, NameNode at hdfs://$host:$nn_rpc"
}

stop_cluster() { # SIGNAL
  local name
  for name in $(daemons_with_pid_file); do signal "$name" "$1"; done
  for name in $(daemons_with_pid_file); do await_exit "$name" 10; done
  kill_containers
}

show_status() {
  local name failed=0
  for name in $(daemons); do
    if alive "$name"; then
      printf '%-6s pid %-8s %5d MiB  %s\n' "$name" "$(pid_of "$name")" "$(resident_mib "$name")" "$(address_of "$name")"
    else
      printf '%-6s down\n' "$name"
      failed=1
    fi
  done
  return $failed
}

print_env() {
  printf 'export HADOOP_CONF_DIR=%q\n' "$dir/conf"
  if ((kafka)); then printf 'export FLOTT_KAFKA=%s:%s\n' "$host" "$kafka_port"; fi
}

kill_daemon() {
  alive "$1" || die "$1 is not running"
  signal "$1" KILL
  await_exit "$1" 10
}

restart_daemon() {
  lock_directory
  if alive "$1"; then
    signal "$1" TERM
    await_exit "$1" 10
  fi
  launch "$1"
  wait_healthy "$1"
}

# By Hadoop's own program: what it finds, an administrator finds.
print_logs() {
  HADOOP_CONF_DIR=$dir/conf java -Xmx192m --add-opens=java.base/java.lang=ALL-UNNAMED \
    -cp "$dir/daemons:$dir/conf:$jars/hadoop/*" org.apache.hadoop.yarn.client.cli.LogsCLI -applicationId "$1" \
    2>"$dir/logs/logs-command.log" || { tail -n 5 "$dir/logs/logs-command.log" >&2; die "found no logs of $1"; }
}

clean_cluster() {
  stop_cluster KILL # nothing needs to be saved
  if [ -f "$dir/settings" ]; then
    load_settings
    rm -f "$cache/ports/$first_port"
  fi
  rm -rf "$dir"
}

known_daemon() { # NAME
  local name
  for name in $(daemons); do if [ "$name" = "$1" ]; then return; fi; done
  die "there is no daemon '$1' here; the daemons are: $(daemons | xargs)"
}

parse() {
  command=${1:-} daemon='' opt_nodes='' opt_kafka=0 opt_conf=() dir=$cache/dev-hadoop
  if (($#)); then shift; fi
  while (($#)); do
    case $1 in
      --dir) dir=${2:?--dir needs a directory}; shift ;;
      --nodes) opt_nodes=${2:?--nodes needs a number}; shift ;;
      --conf) opt_conf+=("${2:?--conf needs KEY=VALUE}"); shift ;;
      --kafka) opt_kafka=1 ;;
      -*) usage >&2; die "unknown option $1" ;;
      *) [ -z "$daemon" ] || die "unexpected argument $1"; daemon=$1 ;;
    esac
    shift
  done
  case $command in
    kill | restart) [ -n "$daemon" ] || die "$command needs the name of a daemon" ;;
    logs) [ -n "$daemon" ] || die "logs needs the id of an application" ;;
    *) [ -z "$daemon" ] || die "unexpected argument $daemon" ;;
  esac
  if [ -n "$opt_nodes" ] && ! [[ $opt_nodes =~ ^[0-9]+$ && $opt_nodes -ge 3 && $opt_nodes -le 50 ]]; then
    die "--nodes wants a number from 3 to 50, not '$opt_nodes'"
  fi
  dir=$(realpath -m "$dir")
}

main() {
  parse "$@"
  jars=$cache/jars-$(sed -n 's|^  <version>\(.*\)</version>$|\1|p' "$here/dev-hadoop/pom.xml")
  case $command in
    start) start_cluster ;;
    stop) stop_cluster TERM ;;
    status) load_settings; show_status ;;
    env) load_settings; print_env ;;
    kill) load_settings; known_daemon "$daemon"; kill_daemon "$daemon" ;;
    restart) load_settings; known_daemon "$daemon"; restart_daemon "$daemon" ;;
    logs) load_settings; print_logs "$daemon" ;;
    clean) clean_cluster ;;
    help | -h | --help) usage ;;
    *) usage >&2; exit 2 ;;
  esac
}

main "$@"
