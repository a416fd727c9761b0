package disk

// worldFree is how much room a userland gets to write to, in bytes. It is for logs
// and results: what tests make lies in memory, below /tmp, for every boot reads and
// checks all of a disk.
const worldFree = 256 << 20

// service makes the agent a service of a userland, the last that rc(8) starts. What
// a system under test does not need stays off, so that it is up sooner and nothing
// but the tests changes it.
var service = []File{
	{Path: "/etc/fstab", Mode: 0o644, Data: []byte(fstab)},
	{Path: "/etc/rc.conf", Mode: 0o644, Data: []byte(rcConf)},
	{Path: "/etc/rc.d/headwatch", Mode: 0o555, Data: []byte(rcScript)},
}

const fstab = "/dev/gpt/" + labelRoot + ` / ufs rw 0 0
tmpfs /tmp tmpfs rw,mode=1777,failok 0 0
`

const rcConf = `headwatch_enable="YES"
hostname="headwatch"
cron_enable="NO"
dumpdev="NO"
moused_enable="NO"
newsyslog_enable="NO"
rc_startmsgs="NO"
sendmail_enable="NONE"
syslogd_flags="-ss"
update_motd="NO"
virecover_enable="NO"
`

// rcScript gives the agent the console and no hang-up: rc(8) ends before it does.
const rcScript = `#!/bin/sh

# PROVIDE: headwatch
# REQUIRE: LOGIN
# KEYWORD: nojail

. /etc/rc.subr

name="headwatch"
desc="The hand of a regression watch inside its guest"
rcvar="headwatch_enable"
start_cmd="headwatch_start"
stop_cmd=":"

headwatch_start()
{
	(trap '' HUP; exec /agent) </dev/null >/dev/console 2>&1 &
}

load_rc_config $name
run_rc_command "$1"
`
