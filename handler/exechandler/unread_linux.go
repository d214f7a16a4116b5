package exechandler

import (
	"os"

	"golang.org/x/sys/unix"
)

// unread returns how many bytes of a pipe nobody has read, by its writing end, and false
// if the system does not know.
func unread(w *os.File) (n int, ok bool) {
	c, err := w.SyscallConn()
	if err != nil {
		return 0, false
	}
	if e := c.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }); e != nil {
		return 0, false
	}
	return n, err == nil
}
