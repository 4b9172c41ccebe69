# shellcheck shell=bash disable=SC2154  # sourced by ../dev-hadoop.sh, which sets the variables
# How one daemon is launched, watched, judged healthy and stopped. Conditions have deadlines; none waits for time to pass.

node_address() { printf '127.0.0.%d' $((10 + $1)); }

daemons() {
  local i
  printf '%s\n' nn dn zk rm
  for ((i = 1; i <= nodes; i++)); do printf 'nm%d\n' "$i"; done
  if ((kafka)); then printf 'kafka\n'; fi
}

# ---- processes -------------------------------------------------------------------------------------------------------

pid_of() { cat "$dir/run/$1.pid" 2>/dev/null; }

daemons_with_pid_file() {
  local file
  for file in "$dir"/run/*.pid; do
    if [ -f "$file" ]; then basename "$file" .pid; fi
  done
}

# A zombie is not alive, and neither is another process that was given the same number.
alive() {
  local pid stat
  pid=$(pid_of "$1") && [ -n "$pid" ] && read -r stat 2>/dev/null <"/proc/$pid/stat" || return 1
  stat=${stat##*) }
  [ "${stat%% *}" != Z ] && tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF -e "-Dflott.dev-hadoop=$dir:$1"
}

resident_mib() { awk '/^VmRSS/ { print int($2 / 1024) }' "/proc/$(pid_of "$1")/status"; }

signal() { # NAME SIGNAL
  if alive "$1"; then kill "-$2" "$(pid_of "$1")" 2>/dev/null || true; fi
}

# Waits for the process to end, kills it at the deadline, and forgets its pid.
await_exit() { # NAME SECONDS
  if ! wait_until "$2" gone "$1"; then
    signal "$1" KILL
    wait_until 10 gone "$1" || die "$1 (pid $(pid_of "$1")) does not die"
  fi
  rm -f "$dir/run/$1.pid"
}

# Containers survive their NodeManager, which would find them again; in a stopped cluster nobody would end them. They are
# known by their environment, which names the NodeManager's local directories.
kill_containers() {
  local process
  for process in /proc/[0-9]*; do
    if grep -qzF "$dir/data/nm" "$process/environ" 2>/dev/null; then
      kill -KILL "${process#/proc/}" 2>/dev/null || true
    fi
  done
}

gone() { ! alive "$1"; }

wait_until() { # SECONDS COMMAND…
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    if ((SECONDS >= deadline)); then return 1; fi
    sleep 0.2
  done
}

# ---- launching -------------------------------------------------------------------------------------------------------

java_options() { # HEAP_MIB
  printf '%s\n' -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:MaxMetaspaceSize=160m -Djava.net.preferIPv4Stack=true \
    --add-opens=java.base/java.lang=ALL-UNNAMED "-Xmx$1m"
}

java_command() { # HEAP_MIB CLASS_PATH
  mapfile -t command < <(java_options "$1")
  command=(java "${command[@]}" "-Dflott.dev-hadoop=$dir:$name" "-Djava.io.tmpdir=$dir/data/tmp" -cp "$2")
}

# Sets `command` to what runs the daemon $name.
daemon_command() {
  local command_conf="$dir/daemons:$dir/conf" hadoop="org.apache.hadoop"
  case $name in
    nn) java_command 192 "$command_conf:$jars/hadoop/*:$jars/hdfs-web/*"; command+=("$hadoop.hdfs.server.namenode.NameNode") ;;
    dn) java_command 192 "$command_conf:$jars/hadoop/*:$jars/hdfs-web/*"; command+=("$hadoop.hdfs.server.datanode.DataNode") ;;
    rm) java_command 320 "$dir/daemons/rm:$command_conf:$jars/hadoop/*"
      command+=("$hadoop.yarn.server.resourcemanager.ResourceManager") ;;
    nm*) java_command 224 "$dir/daemons/$name:$command_conf:$jars/hadoop/*"
      command+=("$hadoop.yarn.server.nodemanager.NodeManager") ;;
    zk) java_command 128 "$dir/daemons:$jars/zookeeper/*"
      command+=(org.apache.zookeeper.server.quorum.QuorumPeerMain "$dir/daemons/zoo.cfg") ;;
    kafka) java_command 320 "$dir/daemons:$jars/kafka/*"; command+=(kafka.Kafka "$dir/daemons/kafka.properties") ;;
  esac
}

# The daemon is a session of its own, so that a Ctrl-C at the terminal that started it does not reach it, and it
# inherits none of this script's locks.
launch() { # NAME
  local name=$1 command
  if alive "$name"; then return; fi
  daemon_command
  export HADOOP_CONF_DIR=$dir/conf YARN_CONF_DIR=$dir/conf
  date +%s%3N >"$dir/run/$name.launched"
  (
    cd "$dir/data" || exit
    exec 8>&- 9>&- </dev/null >>"$dir/logs/$name.log" 2>&1
    setsid nohup "${command[@]}" &
    printf '%d\n' $! >"$dir/run/$name.pid"
  )
}

log_tail() { tail -n 40 "$1" | cut -c 1-300 >&2; }

run_once() { # LABEL COMMAND…
  local label=$1
  shift
  "$@" >"$dir/logs/$label.log" 2>&1 </dev/null || { log_tail "$dir/logs/$label.log"; die "$label failed"; }
}

format_namenode() {
  local name=format-namenode command
  if [ -d "$dir/data/nn/current" ]; then return; fi
  java_command 192 "$dir/daemons:$dir/conf:$jars/hadoop/*"
  run_once "$name" "${command[@]}" org.apache.hadoop.hdfs.server.namenode.NameNode -format -nonInteractive
}

format_kafka() {
  local name=format-kafka command
  if [ -f "$dir/data/kafka/meta.properties" ]; then return; fi
  java_command 192 "$dir/daemons:$jars/kafka/*"
  run_once "$name" "${command[@]}" kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qg -c "$dir/daemons/kafka.properties"
}

# ---- health ----------------------------------------------------------------------------------------------------------

http() { curl -sf --noproxy '*' --max-time 5 "$@"; }
webhdfs() { # METHOD PATH?QUERY
  http -X "$1" "http://$host:$nn_http/webhdfs/v1$2&user.name=$me"
}

namenode_metric() { http "http://$host:$nn_http/jmx?qry=Hadoop:service=NameNode,name=$1"; }

datanode_is_known() { namenode_metric FSNamesystemState 2>/dev/null | grep -q '"NumLiveDataNodes" : [1-9]'; }

# An empty NameNode leaves safe mode at once, but nothing can be written before the DataNode has come back to it.
namenode_serves() {
  namenode_metric NameNodeInfo 2>/dev/null | grep -q '"Safemode" : ""' && { gone dn || datanode_is_known; }
}

datanode_serves() {
  http "http://$host:$dn_http/jmx?qry=Hadoop:service=DataNode,name=DataNodeInfo" | grep -q '"ActorState\\":\\"RUNNING' &&
    datanode_is_known
}

# The ResourceManager opens its port before it has recovered; it can be used once the nodes that live have come back.
resourcemanager_serves() {
  local want=0 have i
  for ((i = 1; i <= nodes; i++)); do if alive "nm$i"; then want=$((want + 1)); fi; done
  have=$(http "http://$host:$rm_http/ws/v1/cluster/nodes?states=RUNNING" | grep -o '"state":"RUNNING"' | wc -l) || return 1
  ((have >= want))
}

# RUNNING in the ResourceManager's view, by a health report that the present process made.
nodemanager_serves() { # NAME
  local report
  report=$(http "http://$host:$rm_http/ws/v1/cluster/nodes/$(node_address "${1#nm}"):$nm_rpc") || return 1
  [[ $report == *'"state":"RUNNING"'* && $report =~ \"lastHealthUpdate\":([0-9]+) ]] &&
    ((BASH_REMATCH[1] >= $(cat "$dir/run/$1.launched")))
}

zookeeper_serves() { [ "$( (exec 3<>"/dev/tcp/$host/$zk_port" && printf ruok >&3 && head -c 4 <&3) 2>/dev/null)" = imok ]; }

kafka_serves() { (exec 3<>"/dev/tcp/$host/$kafka_port") 2>/dev/null && grep -q 'Kafka Server started' "$dir/logs/kafka.log"; }

serves() { # NAME
  case $1 in
    nn) namenode_serves ;;
    dn) datanode_serves ;;
    rm) resourcemanager_serves ;;
    nm*) nodemanager_serves "$1" ;;
    zk) zookeeper_serves ;;
    kafka) kafka_serves ;;
  esac
}

serves_or_died() { gone "$1" || serves "$1"; }

wait_healthy() { # NAME
  if wait_until 120 serves_or_died "$1" && alive "$1"; then return; fi
  printf -- '---- the end of %s\n' "$dir/logs/$1.log" >&2
  log_tail "$dir/logs/$1.log"
  if alive "$1"; then die "$1 runs but is not healthy after 120 s"; fi
  die "$1 ended while starting"
}

address_of() { # NAME
  case $1 in
    nn) printf 'hdfs://%s:%d http://%s:%d' "$host" "$nn_rpc" "$host" "$nn_http" ;;
    dn) printf 'http://%s:%d' "$host" "$dn_http" ;;
    rm) printf 'http://%s:%d' "$host" "$rm_http" ;;
    nm*) printf '%s:%d http://%s:%d' "$(node_address "${1#nm}")" "$nm_rpc" "$(node_address "${1#nm}")" "$nm_http" ;;
    zk) printf '%s:%d' "$host" "$zk_port" ;;
    kafka) printf '%s:%d' "$host" "$kafka_port" ;;
  esac
}
