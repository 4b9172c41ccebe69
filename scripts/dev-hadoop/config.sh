# shellcheck shell=bash disable=SC2154  # sourced by ../dev-hadoop.sh, which sets the variables
# The configuration files of a development Hadoop. Client files in $dir/conf; daemons add theirs under $dir/daemons/<name>.

property() { printf '  <property><name>%s</name><value>%s</value></property>\n' "$1" "$2"; }

# Properties given by --conf, routed by their first word as Hadoop's own files are.
extra_properties() { # core | hdfs | yarn
  local line file
  [ -f "$dir/extra.conf" ] || return 0
  while IFS= read -r line; do
    case $line in dfs.*) file=hdfs ;; yarn.*) file=yarn ;; *) file=core ;; esac
    if [ "$file" = "$1" ]; then property "${line%%=*}" "${line#*=}"; fi
  done <"$dir/extra.conf"
}

site() { # FILE; properties on stdin
  { printf '<?xml version="1.0"?>\n<configuration>\n'; cat; printf '</configuration>\n'; } >"$1"
}

core_properties() {
  property fs.defaultFS "hdfs://$host:$nn_rpc"
  property hadoop.tmp.dir "$dir/data/tmp"
  property "hadoop.proxyuser.$me.hosts" '*'
  property "hadoop.proxyuser.$me.groups" '*'
  property hadoop.zk.address "$host:$zk_port"
  property ipc.client.connect.max.retries.on.timeouts 3
  extra_properties core
}

hdfs_properties() {
  property dfs.replication 1
  property dfs.blocksize 16777216
  property dfs.namenode.fs-limits.min-block-size 1024
  property dfs.namenode.name.dir "file://$dir/data/nn"
  property dfs.datanode.data.dir "file://$dir/data/dn"
  property dfs.namenode.rpc-address "$host:$nn_rpc"
  property dfs.namenode.http-address "$host:$nn_http"
  property dfs.namenode.secondary.http-address "$host:0"
  property dfs.datanode.address "$host:$dn_data"
  property dfs.datanode.http.address "$host:$dn_http"
  property dfs.datanode.ipc.address "$host:$dn_ipc"
  property dfs.datanode.hostname "$host"
  property dfs.namenode.datanode.registration.ip-hostname-check false
  property dfs.namenode.safemode.extension 0
  # A killed DataNode should be missed within a test's patience, not after ten minutes.
  property dfs.namenode.heartbeat.recheck-interval 5000
  property dfs.heartbeat.interval 1
  property dfs.permissions.enabled true
  extra_properties hdfs
}

yarn_properties() {
  property yarn.resourcemanager.hostname "$host"
  property yarn.resourcemanager.address "$host:$rm_rpc"
  property yarn.resourcemanager.scheduler.address "$host:$rm_sched"
  property yarn.resourcemanager.resource-tracker.address "$host:$rm_track"
  property yarn.resourcemanager.admin.address "$host:$rm_admin"
  property yarn.resourcemanager.webapp.address "$host:$rm_http"
  property yarn.resourcemanager.scheduler.class org.apache.hadoop.yarn.server.resourcemanager.scheduler.capacity.CapacityScheduler
  property yarn.resourcemanager.recovery.enabled true
  property yarn.resourcemanager.work-preserving-recovery.enabled true
  property yarn.resourcemanager.work-preserving-recovery.scheduling-wait-ms 3000
  property yarn.resourcemanager.store.class org.apache.hadoop.yarn.server.resourcemanager.recovery.FileSystemRMStateStore
  property yarn.resourcemanager.fs.state-store.uri "file://$dir/data/rm-state"
  # By default in a directory of /tmp that all clusters would share.
  property yarn.node-attribute.fs-store.root-dir "file://$dir/data/node-attributes"
  property yarn.node-labels.fs-store.root-dir "file://$dir/data/node-labels"
  property yarn.resourcemanager.am.max-attempts 4
  property yarn.resourcemanager.am.global.max-attempts 4
  property yarn.resourcemanager.nodemanagers.heartbeat-interval-ms 1000
  property yarn.resourcemanager.nm.liveness-monitor.interval-ms 1000
  property yarn.nm.liveness-monitor.expiry-interval-ms 15000
  property yarn.am.liveness-monitor.expiry-interval-ms 60000
  # The default of 30 s is how long a restarted ResourceManager would stay unnoticed.
  property yarn.resourcemanager.connect.retry-interval.ms 1000
  property yarn.scheduler.minimum-allocation-mb 64
  property yarn.scheduler.maximum-allocation-mb "$node_mb"
  property yarn.scheduler.maximum-allocation-vcores "$node_vcores"
  property yarn.nodemanager.resource.memory-mb "$node_mb"
  property yarn.nodemanager.resource.cpu-vcores "$node_vcores"
  # As on a real cluster: a container above its memory, or above 2.1 times that in virtual memory, is killed.
  property yarn.nodemanager.pmem-check-enabled true
  property yarn.nodemanager.vmem-check-enabled true
  property yarn.nodemanager.vmem-pmem-ratio 2.1
  property yarn.log-aggregation-enable true
  property yarn.log-aggregation.retain-seconds 86400
  property yarn.nodemanager.remote-app-log-dir /yarn/app-logs
  property yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage 99.5
  property yarn.application.classpath "$dir/conf,$jars/hadoop/*"
  property yarn.timeline-service.enabled false
  property yarn.admin.acl "$me"
}

node_properties() { # INDEX
  local address
  address=$(node_address "$1")
  property yarn.nodemanager.hostname "$address"
  property yarn.nodemanager.address "$address:$nm_rpc"
  property yarn.nodemanager.localizer.address "$address:$nm_localizer"
  property yarn.nodemanager.webapp.address "$address:$nm_http"
  property yarn.nodemanager.collector-service.address "$address:$nm_collector"
  property yarn.nodemanager.local-dirs "$dir/data/nm$1/local"
  property yarn.nodemanager.log-dirs "$dir/data/nm$1/logs"
  property yarn.nodemanager.recovery.enabled true
  property yarn.nodemanager.recovery.supervised true
  property yarn.nodemanager.recovery.dir "$dir/data/nm$1/recovery"
}

queue_properties() {
  local prefix=yarn.scheduler.capacity queue
  property $prefix.root.queues default,prod
  property $prefix.root.default.capacity 60
  property $prefix.root.prod.capacity 40
  for queue in default prod; do
    property $prefix.root.$queue.maximum-capacity 100
    property $prefix.root.$queue.user-limit-factor 10
    property $prefix.root.$queue.state RUNNING
  done
  property $prefix.maximum-am-resource-percent 0.8
  property $prefix.node-locality-delay 0
  property $prefix.resource-calculator org.apache.hadoop.yarn.util.resource.DominantResourceCalculator
}

write_log4j() {
  cat >"$dir/daemons/log4j.properties" <<'L'
log4j.rootLogger=INFO,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n
L
}

write_zookeeper() {
  cat >"$dir/daemons/zoo.cfg" <<Z
tickTime=2000
dataDir=$dir/data/zk
clientPort=$zk_port
clientPortAddress=$host
admin.enableServer=false
4lw.commands.whitelist=ruok,srvr,stat,mntr
maxClientCnxns=0
Z
}

write_kafka() {
  cat >"$dir/daemons/kafka.properties" <<K
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@$host:$kafka_controller
listeners=PLAINTEXT://$host:$kafka_port,CONTROLLER://$host:$kafka_controller
advertised.listeners=PLAINTEXT://$host:$kafka_port
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/data/kafka
num.partitions=2
num.network.threads=2
num.io.threads=4
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=16777216
K
}

write_configuration() {
  local i
  mkdir -p "$dir/conf" "$dir/daemons/rm" "$dir/data/tmp"
  core_properties | site "$dir/conf/core-site.xml"
  hdfs_properties | site "$dir/conf/hdfs-site.xml"
  { yarn_properties; extra_properties yarn; } | site "$dir/conf/yarn-site.xml"
  queue_properties | site "$dir/daemons/rm/capacity-scheduler.xml"
  for ((i = 1; i <= nodes; i++)); do
    mkdir -p "$dir/daemons/nm$i"
    { yarn_properties; node_properties "$i"; extra_properties yarn; } | site "$dir/daemons/nm$i/yarn-site.xml"
  done
  write_log4j
  write_zookeeper
  write_kafka
}
