package sqlitequeue

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// uptime is CLOCK_MONOTONIC, which time.Now goes by as well.
func uptime() (int64, bool) {
	var t unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano(), err == nil
}

// bootID identifies the boot and the time namespace, which has its own uptime.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	namespace, _ := os.Readlink("/proc/self/ns/time") // a kernel without them has one uptime
	return strings.TrimSpace(string(id)) + " " + namespace
}
