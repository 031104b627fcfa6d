#!/bin/busybox sh
# The first process of a test VM. Mounts what a tracer needs, then runs the agent (or, with
# rtap.shell on the kernel's command line, a shell on the console), then switches off.
/bin/busybox mkdir -p /bin /sbin /usr/bin /usr/sbin /proc /sys /dev /tmp /run
/bin/busybox --install -s
export PATH=/usr/local/bin:/usr/bin:/bin:/sbin:/usr/sbin HOME=/root TERM=linux
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount -t securityfs securityfs /sys/kernel/security
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
ulimit -n 65536
if grep -qw rtap.shell /proc/cmdline; then
    setsid cttyhack sh
else
    stty -F /dev/ttyS1 raw -echo -crtscts 115200
    /agent --be-the-vm-agent
fi
poweroff -f
