#!/usr/bin/env bash
# A SLURM cluster of one node on this machine, for tests: real daemons, pretended GPUs, no accounting.
#
#   cluster.sh install       Debian's packages, if they are missing
#   cluster.sh start DIR     a cluster with all its files in DIR (but munge's key and socket)
#   cluster.sh stop DIR      its jobs and daemons
#   cluster.sh kill DIR      slurmd and all that it runs, as if the node lost power; until it is missed
#   cluster.sh revive DIR    slurmd again
#
# All of it as root: slurmd starts jobs for others.
set -euo pipefail

CPUS=${QDFLOW_TEST_CPUS:-8} # may be more than there are
MEMORY=${QDFLOW_TEST_MEMORY:-32000} # MB
GPUS=3
NODE=$(hostname -s)

install_packages() {
  type slurmctld slurmd munged >/dev/null 2>&1 && return
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends slurm-wlm munge
}

configure() {
  mkdir -p "$DIR"/{state,spool,log}
  # slurmd takes devices for GPUs, and nothing else: these are further names of /dev/null
  for ((k = 0; k < GPUS; k++)); do
    [ -c "$DIR/gpu$k" ] || mknod "$DIR/gpu$k" c 1 3
  done
  echo "NodeName=$NODE Name=gpu File=$DIR/gpu[0-$((GPUS - 1))]" >"$DIR/gres.conf"
  cat >"$DIR/slurm.conf" <<END
ClusterName=test
SlurmctldHost=$NODE(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool
SlurmctldPidFile=$DIR/slurmctld.pid
SlurmdPidFile=$DIR/slurmd.pid
SlurmctldLogFile=$DIR/log/slurmctld.log
SlurmdLogFile=$DIR/log/slurmd.log
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$DIR/log/finished
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1
DefMemPerCPU=500
MinJobAge=3600
KillWait=5
SlurmdTimeout=10
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=$NODE NodeAddr=127.0.0.1 CPUs=$CPUS RealMemory=$MEMORY Gres=gpu:$GPUS State=UNKNOWN
PartitionName=cpu Nodes=$NODE Default=YES MaxTime=1-00:00:00 State=UP
PartitionName=gpu Nodes=$NODE MaxTime=1-00:00:00 State=UP
END
  # snakemake's job steps look here, whatever SLURM_CONF says
  for name in slurm gres; do
    if [ -e "/etc/slurm/$name.conf" ] && [ ! -L "/etc/slurm/$name.conf" ]; then
      echo "/etc/slurm/$name.conf exists: this machine belongs to a cluster; test elsewhere" >&2
      exit 1
    fi
    mkdir -p /etc/slurm
    ln -sfn "$DIR/$name.conf" "/etc/slurm/$name.conf"
  done
}

# until COMMAND is true, for SECONDS at most
wait_for() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { echo "waited in vain for: $*" >&2; return 1; }
    sleep 0.1
  done
}

authenticated() { munge -n </dev/null | unmunge; }
controlled() { timeout 2 scontrol ping | grep -q 'is UP'; }
state() { timeout 2 sinfo -h -p cpu -o %t; }
idle() { [ "$(state)" = idle ]; }
down() { [[ "$(state)" == down* ]]; }
up() { [[ "$(state)" =~ ^(idle|mix|alloc)$ ]]; }

start_munge() {
  authenticated >/dev/null 2>&1 && return
  install -d -o munge -g munge -m 0755 /run/munge
  [ -s /etc/munge/munge.key ] || head -c 1024 /dev/urandom >/etc/munge/munge.key
  chown munge:munge /etc/munge/munge.key
  chmod 400 /etc/munge/munge.key
  runuser -u munge -- munged
  touch "$DIR/munge-is-ours"
  wait_for 10 authenticated
}

start_node() { slurmd -f "$DIR/slurm.conf" -N "$NODE" </dev/null >>"$DIR/log/slurmd.out" 2>&1; }

start() {
  configure
  start_munge
  slurmctld -f "$DIR/slurm.conf" </dev/null >>"$DIR/log/slurmctld.out" 2>&1
  wait_for 10 controlled
  start_node
  wait_for 20 idle
}

daemon() { cat "$DIR/$1.pid" 2>/dev/null || true; }

# its process is gone
ended() { ! kill -0 "$1" 2>/dev/null; }

# a process, and all that it started
tree() {
  local child
  echo "$1"
  for child in $(pgrep -P "$1" || true); do tree "$child"; done
}

kill_node() {
  local pid step
  pid=$(daemon slurmd)
  for step in $(pgrep -f '^slurmstepd: \[' || true); do # they would end their jobs without slurmd
    kill -9 $(tree "$step") 2>/dev/null || true
  done
  kill -9 "$pid"
  wait_for 90 down
}

revive() {
  rm -f "$DIR/slurmd.pid"
  start_node
  wait_for 30 up
}

stop() {
  local name pid
  if controlled; then
    scancel --user "$(id -un)"
    wait_for 30 idle || true
  fi
  for name in slurmd slurmctld; do
    pid=$(daemon $name)
    [ -z "$pid" ] || { kill "$pid" 2>/dev/null || true; wait_for 10 ended "$pid" || kill -9 "$pid"; }
  done
  [ ! -e "$DIR/munge-is-ours" ] || kill "$(cat /run/munge/munged.pid 2>/dev/null)" 2>/dev/null || true
  for name in slurm gres; do
    [ "$(readlink "/etc/slurm/$name.conf")" != "$DIR/$name.conf" ] || rm "/etc/slurm/$name.conf"
  done
}

[ "$(id -u)" = 0 ] || { echo "a local SLURM cluster needs root; run make test-slurm as root" >&2; exit 77; }
DIR=${2:-}
[ "$1" = install ] || [ -n "$DIR" ] || { sed -n '2,/^set/p' "$0" >&2; exit 2; }
export SLURM_CONF=$DIR/slurm.conf
case "$1" in
  install) install_packages ;;
  start) start ;;
  stop) stop ;;
  kill) kill_node ;;
  revive) revive ;;
  *) sed -n '2,/^set/p' "$0" >&2; exit 2 ;;
esac
