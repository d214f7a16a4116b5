package sqlitequeue

import "golang.org/x/sys/unix"

// uptime is the clock that time.Now goes by as well.
func uptime() (int64, bool) {
	var t unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_UPTIME_RAW, &t)
	return t.Nano(), err == nil
}

func bootID() string {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return ""
	}
	return id
}
