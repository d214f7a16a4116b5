package suspend

import (
	"syscall"
	"time"
	"unsafe"
)

// The clocks of clock_gettime: the one of Go's monotonic time, and one that runs
// while the machine is suspended.
const (
	monotonic = 1
	boottime  = 7
)

// total reads both clocks from the kernel, so that they are of the same moment
// and a test's own time has no part in it.
func total() time.Duration {
	running, ok := read(monotonic)
	since, known := read(boottime)
	if !ok || !known {
		return 0
	}
	return max(since-running, 0)
}

func read(clock uintptr) (time.Duration, bool) {
	var t syscall.Timespec
	_, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&t)), 0) //nolint:gosec // the kernel fills it in
	return time.Duration(t.Nano()), errno == 0
}
